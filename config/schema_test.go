package config_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/config"
)

// keys are all keys of a value, elements of lists as [].
func keys(v any, key string, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			keys(value, strings.TrimPrefix(key+"."+name, "."), into)
		}
	case []any:
		for _, value := range v {
			keys(value, key+"[]", into)
		}
	default:
		into[key] = true
	}
}

// schemaKeys are all keys of a schema.
func schemaKeys(s map[string]any, key string, into map[string]bool) {
	properties, section := s["properties"].(map[string]any)
	items, list := s["items"].(map[string]any)
	switch {
	case section:
		for name, p := range properties {
			schemaKeys(p.(map[string]any), strings.TrimPrefix(key+"."+name, "."), into)
		}
	case list:
		schemaKeys(items, key+"[]", into)
	case !strings.HasSuffix(key, "_file"):
		into[key] = true
	}
}

func TestExample(t *testing.T) {
	t.Parallel()
	c, err := config.Load("fanfare.example.yaml", nil, nil)
	require.NoError(t, err)
	require.Equal(t, config.Default(), c, "what is not commented out are the defaults")

	text, err := os.ReadFile("fanfare.example.yaml")
	require.NoError(t, err)
	active := regexp.MustCompile(`(?m)^#(\S|  )`).ReplaceAllString(string(text), "$1")
	_, problems := load(t, active)
	require.Empty(t, problems)

	var shown any
	require.NoError(t, yaml.Unmarshal([]byte(active), &shown))
	listed, all := map[string]bool{}, map[string]bool{}
	keys(shown, "", listed)
	var schema map[string]any
	require.NoError(t, json.Unmarshal(config.Schema(), &schema))
	schemaKeys(schema, "", all)
	delete(all, "guard.redirect")
	all["guard.redirect.sms"] = true
	for key := range all {
		require.True(t, listed[key], "the example lacks %s", key)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	var s map[string]any
	require.NoError(t, json.Unmarshal(config.Schema(), &s))
	require.Equal(t, "https://json-schema.org/draft/2020-12/schema", s["$schema"])
	root := s["properties"].(map[string]any)
	shards := root["store"].(map[string]any)["properties"].(map[string]any)["shards"]
	require.Equal(t, map[string]any{
		"type": "integer", "minimum": 0.0, "maximum": 256.0,
		"description": "number of shards of a new store; 0: by the number of cores",
	}, shards)
	account := root["accounts"].(map[string]any)["items"].(map[string]any)
	require.Equal(t, []any{"name"}, account["required"])
	require.Equal(t, false, account["additionalProperties"])
	smtp := account["properties"].(map[string]any)["smtp"].(map[string]any)["properties"].(map[string]any)
	require.InDelta(t, 587.0, smtp["port"].(map[string]any)["default"], 0)
	require.Contains(t, smtp, "password_file")
	require.NotContains(t, smtp, "host_file")
	every := map[string]bool{}
	schemaKeys(s, "", every)
	require.Greater(t, len(every), 70)
	require.NotContains(t, string(config.Schema()), `"description": ""`)
}
