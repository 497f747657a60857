package email

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
)

const (
	maxReport           = 1 << 20 // bytes read of a report
	maxReportRecipients = 100
)

// ErrNotReport tells that a message is no delivery status notification.
var ErrNotReport = errors.New("not a delivery status notification")

// Action is what became of a recipient's mail (RFC 3464 section 2.3.3).
type Action string

// The actions. Only Failed is a bounce; after Delayed the relay goes on trying.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered"
	Relayed   Action = "relayed"  // to a relay that reports nothing
	Expanded  Action = "expanded" // to a list's members
)

// Report is a delivery status notification (RFC 3464). Anybody can send one:
// it is a claim until its Message-ID is found to be ours.
type Report struct {
	// MessageID is the Message-ID of the message reported on, without <>; ""
	// if the report does not hold it.
	MessageID string
	// Recipients are never none.
	Recipients []RecipientReport
}

// RecipientReport is a report's word on one recipient.
type RecipientReport struct {
	Final    string // address the report is about
	Original string // address it was sent to, if the report says so
	Action   Action
	Status   string // enhanced status such as "5.1.1"; "" if unreadable
	// Diagnostic is the remote server's text. It may hold addresses.
	Diagnostic string
}

// ParseDSN reads a whole message as it came in. A message that is no delivery
// status notification is ErrNotReport. At most 1 MiB and 100 recipients are
// read.
func ParseDSN(r io.Reader) (Report, error) {
	msg, err := mail.ReadMessage(io.LimitReader(r, maxReport))
	if err != nil {
		return Report{}, fmt.Errorf("%w: unreadable header", ErrNotReport)
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || !strings.EqualFold(params["report-type"], "delivery-status") {
		return Report{}, fmt.Errorf("%w: not multipart/report with delivery-status", ErrNotReport)
	}
	var report Report
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for {
		part, err := parts.NextPart() // decodes quoted-printable
		if err != nil {
			break // the end, or cut off: what came before counts
		}
		report.readPart(part)
	}
	if len(report.Recipients) == 0 {
		return Report{}, fmt.Errorf("%w: no recipient's status", ErrNotReport)
	}
	return report, nil
}

func (r *Report) readPart(part *multipart.Part) {
	kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
	body := io.Reader(part)
	if strings.EqualFold(part.Header.Get("Content-Transfer-Encoding"), "base64") {
		body = base64.NewDecoder(base64.StdEncoding, part)
	}
	switch kind {
	case "message/delivery-status", "message/global-delivery-status":
		r.readStatus(body)
	case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
		// The header may be cut off: what could be read is enough.
		h, _ := textproto.NewReader(bufio.NewReader(body)).ReadMIMEHeader()
		r.MessageID = strings.Trim(h.Get("Message-Id"), " \t<>")
	}
}

// readStatus reads groups of fields parted by empty lines: the first is about
// the message, each further one about a recipient.
func (r *Report) readStatus(body io.Reader) {
	lines := textproto.NewReader(bufio.NewReader(body))
	group := map[string]string{}
	for {
		line, err := lines.ReadContinuedLine()
		if name, value, ok := strings.Cut(line, ":"); ok {
			group[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
		}
		if line == "" || err != nil {
			r.addRecipient(group)
			clear(group)
		}
		if err != nil || len(r.Recipients) >= maxReportRecipients {
			return
		}
	}
}

func (r *Report) addRecipient(group map[string]string) {
	action, _, _ := strings.Cut(group["action"], " ")
	rec := RecipientReport{
		Final:      typed(group["final-recipient"]),
		Original:   typed(group["original-recipient"]),
		Action:     Action(strings.ToLower(action)),
		Status:     enhancedPattern.FindString(group["status"]),
		Diagnostic: typed(group["diagnostic-code"]),
	}
	switch rec.Action {
	case Failed, Delayed, Delivered, Relayed, Expanded:
		if rec.Final != "" || rec.Original != "" {
			r.Recipients = append(r.Recipients, rec)
		}
	}
}

// typed is the value of a "type; value" field.
func typed(field string) string {
	if _, value, ok := strings.Cut(field, ";"); ok {
		return strings.Trim(value, " \t<>")
	}
	return ""
}
