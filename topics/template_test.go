package topics_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/templates"
	"github.com/fanfare-gateway/fanfare/topics"
)

func TestTemplates(t *testing.T) {
	t.Parallel()
	b := start(t)
	_, err := b.PutTemplate(t.Context(), owner, templates.Template{Name: "hi", Text: "Hello {{.name}}"})
	require.NoError(t, err)
	to := &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}
	_, _, err = b.Publish(t.Context(), topics.Request{Owner: owner, To: to, Template: "hi", Data: map[string]any{}})
	require.ErrorContains(t, err, "name")
	b.settle(b.publish(topics.Request{To: to, Template: "hi", Data: map[string]any{"name": "Ada"}}))
	require.Equal(t, "Hello Ada", b.sms.got[0].Content.Text)
	_, err = b.PutTemplate(t.Context(), owner, templates.Template{Name: "hi", Text: "{{.name"})
	require.ErrorIs(t, err, topics.ErrInvalid)
}
