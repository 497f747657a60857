package gateway_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway"
)

// TestTheLastWordOfADrain tells how it went: an attempt under way was ended by
// the second signal.
func TestTheLastWordOfADrain(t *testing.T) {
	t.Parallel()
	var log text
	r := hang(t, gateway.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	r.drain()
	r.hard()
	require.NoError(t, <-r.ended)
	require.Regexp(t, `msg=stopped took=\S+ cut_short=true given_back=0\n$`, log.String())
}
