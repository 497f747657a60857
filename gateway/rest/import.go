package rest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

const (
	importRoute = "POST /v1/topics/{topic}/subscriptions/import"
	importChunk = 500      // lines that are one write; divides 1000
	importLine  = 64 << 10 // most bytes of a line
	ndjson      = "application/x-ndjson"
)

// ImportLine is a line of an import's answer: what was wrong with a line, a
// secret that was made for it, how far it is, or, with Done, the summary.
type ImportLine struct {
	Line    int    `json:"line,omitempty" doc:"number of the line, from 1"`
	Field   string `json:"field,omitempty" doc:"what was wrong there"`
	Error   string `json:"error,omitempty"`
	ID      string `json:"id,omitempty" doc:"the subscription, where a secret was made"`
	Secret  string `json:"secret,omitempty"`
	Done    bool   `json:"done,omitempty" doc:"the last line of a whole import"`
	Lines   int    `json:"lines,omitempty" doc:"read until now"`
	Refused int    `json:"refused,omitempty"`
}

func (a *api) registerImport(mux *http.ServeMux) {
	op := a.describe("manage", importRoute, "Subscribe many endpoints: NDJSON in, NDJSON out")
	op.Description += ". Each line of the body is a subscription as in a single request; good lines stay subscribed whatever the others are. " +
		"The answer has a line for each that was refused, one of progress every 1,000 lines, and a summary at the end."
	schemas := a.huma.OpenAPI().Components.Schemas
	line := schemas.Schema(reflect.TypeFor[SubscriptionRequest](), true, "SubscriptionRequest")
	out := schemas.Schema(reflect.TypeFor[ImportLine](), true, "ImportLine")
	op.Parameters = []*huma.Param{{Name: "topic", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}}}
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{ndjson: {Schema: line}}}
	op.Responses["200"] = &huma.Response{Description: "What became of the lines", Content: map[string]*huma.MediaType{ndjson: {Schema: out}}}
	a.huma.OpenAPI().AddOperation(&op)
	mux.HandleFunc(importRoute, a.importSubscriptions)
}

func (a *api) importSubscriptions(w http.ResponseWriter, r *http.Request) {
	ctx, topic := r.Context(), r.PathValue("topic")
	if err := a.importable(r, topic); err != nil {
		a.problem(ctx, err).write(w)
		return
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/2 has it anyway
	w.Header().Set("Content-Type", ndjson)
	i := &importing{api: a, topic: topic, out: json.NewEncoder(w)}
	body := http.MaxBytesReader(w, r.Body, a.MaxImport)
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, importLine)
	var chunk [][]byte
	var err error
	for err == nil && lines.Scan() {
		if chunk = append(chunk, bytes.Clone(lines.Bytes())); len(chunk) < importChunk {
			continue
		}
		err = i.subscribe(ctx, chunk)
		chunk = chunk[:0]
		_ = http.NewResponseController(w).Flush() // a client that is gone ends ctx
	}
	if err == nil {
		err = i.subscribe(ctx, chunk)
	}
	i.end(errors.Join(err, lines.Err()))
	// What is left unread net/http reads after the handler, and of a full-duplex
	// connection it then reads twice at once and panics.
	_ = http.NewResponseController(w).Flush()
	_, _ = io.Copy(io.Discard, body)
}

func (a *api) importable(r *http.Request, topic string) error {
	ctx := r.Context()
	if err := allowed(ctx, "manage"); err != nil {
		return err
	}
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case "", ndjson, "application/ndjson", "application/jsonl", "application/json":
	default:
		return newProblem(ctx, http.StatusUnsupportedMediaType, "content_type", "The body must be sent as "+ndjson+".")
	}
	if r.ContentLength > a.MaxImport {
		return newProblem(ctx, http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("The body must be at most %d bytes.", a.MaxImport))
	}
	_, err := a.Topics.Topic(ownerOf(ctx), topic)
	return err
}

// importing is one import under way.
type importing struct {
	*api
	topic          string
	out            *json.Encoder
	lines, refused int
}

// subscribe takes the next lines. An error is the store's: it ends the import.
func (i *importing) subscribe(ctx context.Context, chunk [][]byte) error {
	answers := make([]ImportLine, len(chunk))
	var good []topics.Subscription
	var from []int // the line of each
	for n, line := range chunk {
		s, ok := i.parse(line, &answers[n])
		if ok {
			good, from = append(good, s), append(from, n)
		}
	}
	made, errs, err := i.Topics.SubscribeAll(ctx, ownerOf(ctx), i.topic, good)
	if err != nil {
		return err
	}
	for k, n := range from {
		switch {
		case errs[k] != nil:
			if answers[n], err = refusedLine(errs[k]); err != nil {
				return err
			}
		case sameSecret(made[k], good[k]) && answers[n].Secret != "":
			answers[n].ID = topics.SubscriptionName(made[k].ID)
		default:
			answers[n].Secret = ""
		}
	}
	i.answer(answers)
	return nil
}

// parse reads a line; what is wrong with it, or a secret made for it, is put
// into the answer.
func (i *importing) parse(line []byte, answer *ImportLine) (s topics.Subscription, ok bool) {
	if len(bytes.TrimSpace(line)) == 0 {
		return s, false
	}
	var in SubscriptionRequest
	if field, reason := readLine(line, &in); reason != "" {
		*answer = ImportLine{Field: field, Error: reason}
		return s, false
	}
	s, err := in.subscription(i.topic)
	if err != nil {
		*answer, _ = refusedLine(err)
		return s, false
	}
	if in.Secret == "" && len(s.Secrets) > 0 {
		answer.Secret = s.Secrets[0]
	}
	return s, true
}

// refusedLine says what was wrong with a line; an error that is not about it is
// returned.
func refusedLine(err error) (ImportLine, error) {
	var field *topics.FieldError
	switch {
	case errors.As(err, &field):
		return ImportLine{Field: field.Field, Error: field.Reason}, nil
	case errors.Is(err, topics.ErrNotFound), errors.Is(err, topics.ErrConflict):
		return ImportLine{Error: err.Error()}, nil
	}
	return ImportLine{}, err
}

// answer writes what there is to say of the next lines.
func (i *importing) answer(answers []ImportLine) {
	for _, answer := range answers {
		i.lines++
		answer.Line = i.lines
		if answer.Error != "" {
			i.refused++
		}
		if answer.Error != "" || answer.Secret != "" {
			_ = i.out.Encode(answer) // a client that is gone ends ctx
		}
		if i.lines%1000 == 0 {
			_ = i.out.Encode(ImportLine{Lines: i.lines, Refused: i.refused})
		}
	}
}

func (i *importing) end(err error) {
	last := ImportLine{Done: err == nil, Lines: i.lines, Refused: i.refused}
	var large *http.MaxBytesError
	switch {
	case err == nil:
	case errors.As(err, &large):
		last.Error = fmt.Sprintf("the rest was not read: the body must be at most %d bytes", large.Limit)
	case errors.Is(err, bufio.ErrTooLong):
		last.Error = fmt.Sprintf("the rest was not read: a line must be at most %d bytes", importLine)
	case errors.Is(err, queue.ErrDiskFull), errors.Is(err, queue.ErrStoreFailed), errors.Is(err, queue.ErrClosed):
		last.Error = "the rest was not subscribed: the store takes no writes"
	default:
		i.Logger.Error("import broken off", "topic", i.topic, "lines", i.lines, "error", err)
		last.Error = "the rest was not subscribed"
	}
	_ = i.out.Encode(last) // the client may be gone
}
