package topics

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/fanfare-gateway/fanfare/queue"
)

// check validates a request, sets its defaults, pins its template and returns
// its content.
func (t *Topics) check(req *Request) (content, error) {
	c := content{
		To: req.To, Subject: req.Subject, Message: req.Message, HTML: req.HTML, Overrides: req.Overrides, Variants: req.Variants, Face: req.Face,
		Data: req.Data, Attributes: req.Attributes, Group: req.Group, Trace: req.Trace, DedupID: req.DedupID, CollapseID: req.CollapseID,
	}
	req.Lane = laneOf(req.Lane)
	if err := t.checkRequest(req); err != nil {
		return c, err
	}
	if (req.Topic == "") == (req.To == nil) {
		return c, invalid("topic", "name either a topic or one endpoint (to)")
	}
	if req.Topic != "" {
		if err := checkNotReserved("topic", req.Topic); err != nil {
			return c, err
		}
		if _, err := t.Topic(req.Owner, req.Topic); err != nil {
			return c, err
		}
	} else {
		to, end, err := t.resolve(req.Owner, *req.To, "to.")
		if err != nil {
			return c, err
		}
		to.Endpoint = end.Address
		c.To = &to
	}
	if err := t.pinTemplate(req); err != nil {
		return c, err
	}
	text, _ := json.Marshal(c) // plain data: cannot fail
	if c.size = len(text); c.size > t.MaxMessage {
		return c, invalid("message", fmt.Sprintf("is %d bytes with everything around it, at most %d are allowed", c.size, t.MaxMessage))
	}
	return c, nil
}

func (t *Topics) checkRequest(req *Request) error {
	if err := checkLane(req.Lane); err != nil {
		return err
	}
	now := t.store.Now()
	switch {
	case !req.hasWords():
		return invalid("message", "is missing; give a message or a template: overrides stand for it in their protocols only")
	case req.Template == "" && req.TemplateVersion != 0:
		return invalid("template_version", "is only for a template")
	case !req.ExpiresAt.IsZero() && !req.ExpiresAt.After(now):
		return invalid("expires_at", "lies in the past")
	case req.SendAt.Sub(now) > queue.MaxDelay:
		return invalid("send_at", "lies more than 400 days ahead")
	case !req.ExpiresAt.IsZero() && req.SendAt.After(req.ExpiresAt):
		return invalid("send_at", "lies behind expires_at")
	case strings.ContainsFunc(req.Subject, unicode.IsControl):
		return invalid("subject", "must not contain line breaks or other control characters")
	case len(req.IdempotencyKey) > 255:
		return invalid("Idempotency-Key", "must be at most 255 characters")
	case len(req.CollapseID) > 64:
		return invalid("collapse_id", "must be at most 64 bytes")
	}
	for _, name := range slices.Sorted(maps.Keys(req.Attributes)) {
		if err := checkAttribute(name, req.Attributes[name]); err != nil {
			return err
		}
	}
	for _, protocol := range slices.Sorted(maps.Keys(req.Overrides)) {
		if !knownProtocol(protocol) {
			return invalid("overrides."+protocol, aProtocol())
		}
		if strings.ContainsFunc(req.Overrides[protocol].Subject, unicode.IsControl) {
			return invalid("overrides."+protocol+".subject", "must not contain line breaks or other control characters")
		}
	}
	return nil
}

// hasWords tells whether there are words for whoever a request reaches. Of a
// topic's subscribers nobody knows by which protocols they come; Variants are
// a face's, which looks after that itself.
func (req *Request) hasWords() bool {
	if req.Message != "" || req.Template != "" || len(req.Variants) > 0 {
		return true
	}
	if req.To == nil {
		return false
	}
	_, ok := req.Overrides[req.To.Protocol]
	return ok
}

func knownProtocol(name string) bool { return slices.Contains(Protocols(), name) }
