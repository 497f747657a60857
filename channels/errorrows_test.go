package channels

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryRowOfTheErrorBookCounts makes, for each line of the book, an answer
// that it is about: no line before it may take that, and it is judged as the
// line says. What the providers' answers are is for the channels' own tests.
func TestEveryRowOfTheErrorBookCounts(t *testing.T) {
	t.Parallel()
	book, err := NewErrorBook(nil)
	require.NoError(t, err)
	class := regexp.MustCompile(`\[(.)[^]]*\]`)
	for i, line := range book.rows {
		status, err := strconv.Atoi(strings.Replace("0"+line.Status, "xx", "99", 1))
		require.NoError(t, err, "status %q", line.Status)
		a := Answer{
			Provider: strings.Replace(line.Provider, "*", "anybody", 1), Status: status, Reason: line.Reason,
			Code: strings.NewReplacer("*", "X", "?", "X").Replace(class.ReplaceAllString(line.Code, "$1")),
		}
		first := slices.IndexFunc(book.rows, func(r row) bool { return r.fits(a) })
		require.Equal(t, i, first, "row %d %+v is hidden by row %d %+v", i, line, first, book.rows[first])
		got := book.Judge(a)
		require.Equal(t, []any{line.Kind, line.MaxTries, line.Wait, line.Escalate, line.Alone, false}, []any{got.Kind, got.MaxTries, got.Wait, got.Escalate, got.Alone, got.Unknown})
	}
}
