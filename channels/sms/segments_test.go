package sms_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sms"
)

func TestSegments(t *testing.T) {
	t.Parallel()
	x := strings.Repeat
	for _, c := range []struct {
		name, body string
		want       int
	}{
		{"empty", "", 1},
		{"GSM full", x("a", 160), 1},
		{"GSM one more", x("a", 161), 2},
		{"GSM two full", x("a", 306), 2},
		{"GSM three", x("a", 307), 3},
		{"GSM longest", x("a", 1600), 11},
		{"GSM alphabet", "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ÄÖÑÜ§¿äöñüà" + x("a", 80), 1},
		{"extension counts double", x("€", 80), 1},
		{"extension one more", x("€", 80) + "a", 2},
		{"extension table", "\f^{}\\[~]|€" + x("a", 140), 1},
		{"extension table one more", "\f^{}\\[~]|€" + x("a", 141), 2},
		{"escape not cut in two", x("a", 152) + x("€", 77) + "a", 3}, // 152, 76 × 2, 2 + 1
		{"escape at the edge", x("a", 151) + "€" + x("a", 153), 2},
		{"UCS-2 full", x("я", 70), 1},
		{"UCS-2 one more", x("я", 71), 2},
		{"UCS-2 two full", x("я", 134), 2},
		{"UCS-2 three", x("я", 135), 3},
		{"one foreign character", x("a", 70) + "”", 2},
		{"lower-case ç is foreign", x("a", 69) + "ç", 1},
		{"emoji are two units", x("👋", 35), 1},
		{"emoji one more", x("👋", 35) + "a", 2},
		{"pair not cut in two", x("я", 66) + x("👋", 34), 3}, // 66, 33 pairs, 1
		{"tab is foreign", x("a", 70) + "\t", 2},
	} {
		require.Equal(t, c.want, sms.Segments(c.body), c.name)
	}
}

func BenchmarkSegments(b *testing.B) {
	body := strings.Repeat("The quick brown fox jumps. ", 10)
	for b.Loop() {
		sms.Segments(body)
	}
}
