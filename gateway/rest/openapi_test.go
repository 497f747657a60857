package rest_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/topics"
)

// TestOpenAPI holds the document against the routes named in the source.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	res, text := b.send("GET /openapi.json", "")
	require.Equal(t, 200, res.StatusCode)
	var doc struct {
		OpenAPI    string
		Info       struct{ Title, Version string }
		Paths      map[string]map[string]operation
		Webhooks   map[string]struct{ Post operation }
		Components struct{ Schemas map[string]any }
	}
	require.NoError(t, json.Unmarshal([]byte(text), &doc))
	require.True(t, strings.HasPrefix(doc.OpenAPI, "3.1."), doc.OpenAPI)
	require.Equal(t, "Fanfare", doc.Info.Title)
	require.Equal(t, "1.2.3", doc.Info.Version)

	routes := sourceRoutes(t)
	ids := map[string]bool{}
	count := 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			count++
			route := strings.ToUpper(method) + " " + path
			require.Contains(t, routes, route)
			require.False(t, ids[op.OperationID], op.OperationID)
			ids[op.OperationID] = true
			op.check(t, route, path)
		}
	}
	require.Len(t, routes, count, "a route is missing in the document")
	for _, m := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(text, -1) {
		require.Contains(t, doc.Components.Schemas, m[1])
	}
	require.NotContains(t, doc.Components.Schemas, "ErrorModel")
	events := doc.Webhooks[topics.EventsTopic].Post
	for _, name := range topics.Events() {
		require.Contains(t, events.Summary, name)
		require.Contains(t, events.Description, name)
	}
	require.Contains(t, doc.Components.Schemas, "Event")
}

type operation struct {
	OperationID string
	Summary     string
	Description string
	Security    []map[string][]string
	Parameters  []struct {
		Name, In string
		Required bool
		Schema   map[string]any
	}
	Responses map[string]struct {
		Description string
		Content     map[string]any
	}
}

func (op operation) check(t *testing.T, route, path string) {
	require.NotEmpty(t, op.Summary, route)
	require.Len(t, op.Security, 1, route)
	require.Contains(t, op.Responses["default"].Content, "application/problem+json", route)
	require.GreaterOrEqual(t, len(op.Responses), 2, route)
	for code, r := range op.Responses {
		require.NotEmpty(t, r.Description, "%s %s", route, code)
	}
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
		found := false
		for _, p := range op.Parameters {
			found = found || (p.Name == m[1] && p.In == "path" && p.Required && p.Schema != nil)
		}
		require.True(t, found, "%s does not describe %s", route, m[1])
	}
	if strings.HasPrefix(route, "POST /v1/publish ") {
		require.Contains(t, op.Responses, "202")
	}
}

// sourceRoutes reads the routes out of the package's files.
func sourceRoutes(t *testing.T) map[string]bool {
	routes := map[string]bool{}
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(f.Name())
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`"((?:GET|POST|PUT|DELETE|PATCH) /v1/[^"]+)"`).FindAllStringSubmatch(string(text), -1) {
			routes[m[1]] = true
		}
	}
	delete(routes, "POST /v1/publishes/{id}/") // three verbs
	for _, verb := range []string{"pause", "resume", "cancel"} {
		routes["POST /v1/publishes/{id}/"+verb] = true
	}
	require.Greater(t, len(routes), 30)
	return routes
}
