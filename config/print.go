package config

import (
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
)

// Redacted is the configuration as YAML that Load reads, every key with its
// value, and "<secret>" for secrets.
func (c Config) Redacted() string { return redacted(c) }

// Format writes Redacted, whatever the verb: fmt itself would show the secrets
// behind a pointer when the verb does not fit.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted(c)) }

// Format writes the account without its secrets.
func (a Account) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted(a)) }

// RedactedJSON is Redacted as one JSON object.
func (c Config) RedactedJSON() string { return redacted(c, yaml.JSON()) }

func redacted(v any, form ...yaml.EncodeOption) string {
	text, err := yaml.MarshalWithOptions(v, form...)
	if err != nil {
		return fmt.Sprintf("# cannot be printed: %v\n", err)
	}
	return string(text)
}
