package topics_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/templates"
	"github.com/fanfare-gateway/fanfare/topics"
)

// withMail is a bench with a mail account whose mails carry links that say what
// they ask for.
func withMail(t *testing.T) (*bench, *provider) {
	t.Helper()
	b := open(t, vfs.NewMem())
	mail := &provider{calls: map[string]int{}}
	require.NoError(t, b.pool.Put(t.Context(), channels.AccountOptions{Name: "smtp/main", Protocol: topics.Email, Provider: "smtp", Channel: mail}))
	b.UnsubscribeURL = func(o topics.Owner, id queue.ID, s topics.Suppression) string {
		return fmt.Sprintf("https://x/%s/%s?e=%s&t=%s&l=%s", o.Account, topics.DeliveryName(id), s.Endpoint, s.Topic, s.Lane)
	}
	return b, mail
}

func TestWhichMailsCarryAnUnsubscribeLink(t *testing.T) {
	t.Parallel()
	b, mail := withMail(t)
	b.run()
	b.topic("news")
	b.subscribe("news", topics.Email, "ada@example.com")
	b.subscribe("news", topics.SMS, "+1")
	to := &topics.Target{Protocol: topics.Email, Endpoint: "bob@example.com"}
	for _, c := range []struct {
		request topics.Request
		want    string // of the link; "" for none
	}{
		{topics.Request{Topic: "news", Lane: channels.Bulk}, "?e=ada@example.com&t=news&l="},
		{topics.Request{Topic: "news"}, "?e=ada@example.com&t=news&l="},
		{topics.Request{Topic: "news", Lane: channels.Critical}, ""},
		{topics.Request{To: to, Lane: channels.Bulk}, "?e=bob@example.com&t=&l=bulk"},
		{topics.Request{To: to}, ""},
		{topics.Request{To: to, Lane: channels.Critical}, ""},
	} {
		c.request.Message = "x"
		id := b.publish(c.request)
		b.settle(id)
		mail.mu.Lock()
		d := mail.got[len(mail.got)-1]
		mail.mu.Unlock()
		if c.want != "" {
			c.want = "https://x/" + owner.Account + "/" + topics.DeliveryName(id.WithOrdinal(1)) + c.want
		}
		require.Equal(t, c.want, d.UnsubscribeURL)
	}
	b.sms.mu.Lock()
	defer b.sms.mu.Unlock()
	for _, d := range b.sms.got {
		require.Empty(t, d.UnsubscribeURL, "only mail carries one")
	}
}

func TestTheLinkInATemplate(t *testing.T) {
	t.Parallel()
	b, mail := withMail(t)
	b.run()
	b.topic("news")
	b.subscribe("news", topics.Email, "ada@example.com")
	for name, text := range map[string]string{
		"always":   "Bye: {{.unsubscribe_url}}",
		"optional": `Hello{{with default "" .unsubscribe_url}}, bye: {{.}}{{end}}`,
	} {
		_, err := b.PutTemplate(t.Context(), owner, templates.Template{
			Name: name, Text: "x", Channels: map[string]templates.Part{"email": {Text: text}},
		})
		require.NoError(t, err)
	}
	last := func(r topics.Request) string {
		b.settle(b.publish(r))
		mail.mu.Lock()
		defer mail.mu.Unlock()
		return mail.got[len(mail.got)-1].Content.Text
	}
	require.Regexp(t, `^Bye: https://x/.*&t=news&l=$`, last(topics.Request{Topic: "news", Template: "always"}))
	require.Regexp(t, `^Hello, bye: https://x/.*$`, last(topics.Request{Topic: "news", Template: "optional", Data: map[string]any{"a": "b"}}))
	require.Equal(t, "Hello", last(topics.Request{Topic: "news", Template: "optional", Lane: channels.Critical}))
	require.Equal(t, "Bye: https://own", last(topics.Request{Topic: "news", Template: "always", Data: map[string]any{"unsubscribe_url": "https://own"}}))
	_, _, err := b.Publish(t.Context(), topics.Request{Owner: owner, Topic: "news", Template: "always", Lane: channels.Critical})
	require.ErrorContains(t, err, `variable "unsubscribe_url" is missing`, "found before it is accepted")
}

func TestSuppressionsOfATopicOrALane(t *testing.T) {
	t.Parallel()
	b, _ := withMail(t)
	b.run()
	b.topic("news")
	b.topic("other")
	b.subscribe("news", topics.Email, "ada@example.com")
	b.subscribe("other", topics.Email, "ada@example.com")
	to := &topics.Target{Protocol: topics.Email, Endpoint: "ada@example.com"}
	reached := func() string {
		var got []string
		for _, r := range []topics.Request{
			{Topic: "news"}, {Topic: "news", Lane: channels.Bulk}, {Topic: "news", Lane: channels.Critical},
			{Topic: "other", Lane: channels.Bulk}, {To: to, Lane: channels.Bulk}, {To: to},
		} {
			r.Message = "x"
			id := b.publish(r)
			b.settle(id)
			ds, err := b.Deliveries(owner, id, queue.ID{}, 1)
			require.NoError(t, err)
			if ds[0].State == topics.Suppressed {
				got = append(got, ds[0].Reason)
			} else {
				got = append(got, ds[0].State.String())
			}
		}
		return strings.Join(got, " ")
	}
	ada := topics.Suppression{Protocol: topics.Email, Endpoint: "ada@example.com", Reason: "r"}
	topic, lane := ada, ada
	topic.Topic, lane.Lane = "news", channels.Bulk
	for _, c := range []struct {
		s    topics.Suppression
		want string
	}{
		{topic, "unsubscribed unsubscribed unsubscribed delivered delivered delivered"},
		{lane, "delivered delivered delivered delivered unsubscribed delivered"},
		{ada, "suppressed suppressed suppressed suppressed suppressed suppressed"},
	} {
		first, err := b.Suppress(t.Context(), owner, c.s)
		require.NoError(t, err)
		require.Equal(t, c.want, reached())
		c.s.Reason = "said again"
		second, err := b.Suppress(t.Context(), owner, c.s)
		require.NoError(t, err)
		require.Equal(t, first, second, "the first word is the evidence")
		list, err := b.Suppressions(owner, nil, 10)
		require.NoError(t, err)
		require.Equal(t, []topics.Suppression{first}, list)
		require.NoError(t, b.Unsuppress(t.Context(), owner, c.s))
		require.ErrorIs(t, b.Unsuppress(t.Context(), owner, c.s), topics.ErrNotFound)
	}

	for _, s := range []topics.Suppression{ada, topic, lane} {
		_, err := b.Suppress(t.Context(), owner, s)
		require.NoError(t, err)
	}
	var all []topics.Suppression
	for after := (*topics.Suppression)(nil); ; after = &all[len(all)-1] {
		page, err := b.Suppressions(owner, after, 1)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		all = append(all, page...)
	}
	require.Len(t, all, 3, "each is listed once, page by page")
	require.NoError(t, b.Unsuppress(t.Context(), owner, ada))
	require.Equal(t, "unsubscribed unsubscribed unsubscribed delivered unsubscribed delivered", reached(), "lifting one leaves the others")
}

func TestBadSuppressionsAreRefused(t *testing.T) {
	t.Parallel()
	b, _ := withMail(t)
	b.run()
	good := topics.Suppression{Protocol: topics.Email, Endpoint: "a@example.com"}
	for field, change := range map[string]func(*topics.Suppression){
		"protocol": func(s *topics.Suppression) { s.Protocol = "fax" },
		"endpoint": func(s *topics.Suppression) { s.Endpoint = "bad" },
		"topic":    func(s *topics.Suppression) { s.Topic = "a/b" },
		"lane":     func(s *topics.Suppression) { s.Lane = "slow" },
		"not both": func(s *topics.Suppression) { s.Topic, s.Lane = "a", channels.Bulk },
		"reason":   func(s *topics.Suppression) { s.Reason = strings.Repeat("r", 257) },
	} {
		s := good
		change(&s)
		_, err := b.Suppress(t.Context(), owner, s)
		require.ErrorIs(t, err, topics.ErrInvalid, field)
		require.ErrorContains(t, err, field)
		require.Error(t, b.Unsuppress(t.Context(), owner, s), field)
	}
}

// The recipient guard's stand-in does not become the one who unsubscribes.
func TestTheLinkIsTheRecipientsBehindARedirect(t *testing.T) {
	t.Parallel()
	b, mail := withMail(t)
	b.Guard = func(string, string) (string, bool) { return "staging@example.com", true }
	b.run()
	to := &topics.Target{Protocol: topics.Email, Endpoint: "ada@example.com"}
	b.settle(b.publish(topics.Request{To: to, Message: "x", Lane: channels.Bulk}))
	require.Equal(t, 1, mail.count("staging@example.com"))
	require.Contains(t, mail.got[0].UnsubscribeURL, "?e=ada@example.com&")
}

func TestEvidenceOfAnotherAccountIsIgnored(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) { return channels.Receipt{}, nil })
	id := b.publish(topics.Request{To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x"})
	require.Equal(t, topics.Ledger{topics.Sent: 1}, b.settle(id))
	ev := topics.Evidence{Delivery: id.WithOrdinal(1), Account: "twilio/other", Try: 1, State: topics.Delivered}
	applied, err := b.Observe(t.Context(), ev)
	require.NoError(t, err)
	require.False(t, applied)
	require.Equal(t, topics.Ledger{topics.Sent: 1}, b.settle(id))
	ev.Account = "twilio/main"
	applied, err = b.Observe(t.Context(), ev)
	require.NoError(t, err)
	require.True(t, applied)

	for name, unknown := range map[string]queue.ID{
		"publish": id, "later delivery": id.WithOrdinal(2), "shard of another store": queue.MakeID(id.Time(), 200, 1, 1),
	} {
		_, err := b.Observe(t.Context(), topics.Evidence{Delivery: unknown, State: topics.Delivered})
		require.ErrorIs(t, err, topics.ErrNotFound, name)
	}
}
