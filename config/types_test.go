package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/config"
)

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Size{"0": 0, "7": 7, "12B": 12, "1KiB": 1024, "2 MiB": 2 << 20, "3GB": 3e9, "10kB": 10000, "8191PiB": 8191 << 50} {
		var s config.Size
		require.NoError(t, s.UnmarshalText([]byte(text)))
		require.Equal(t, want, s)
		var again config.Size
		require.NoError(t, again.UnmarshalText([]byte(s.String())))
		require.Equal(t, s, again)
	}
	for _, text := range []string{"", "x", "-1", "1.5GiB", "1XiB", "8192PiB", "99999999999999999999", "MiB"} {
		var s config.Size
		require.Error(t, s.UnmarshalText([]byte(text)), text)
	}
	require.Equal(t, "1536MiB", config.Size(1536<<20).String())
	require.Equal(t, "1000B", config.Size(1000).String())
}
