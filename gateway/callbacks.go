package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/channels/sms"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway/callback"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// callbackSources are the accounts something comes back for, by name.
func (g *Gateway) callbackSources(cfg config.Config) (map[string]callback.Source, error) {
	all := map[string]callback.Source{}
	public := g.adjusted(g.opts.Config).PublicURL // what messages carry, until a restart
	for _, a := range cfg.Accounts {
		switch {
		case a.Provider == sandbox.ProviderTwilio && public != "" && a.Twilio.AuthToken != "":
			c, err := sms.NewCallbacks(sms.CallbackOptions{
				AccountSID: a.Twilio.AccountSID, AuthToken: string(a.Twilio.AuthToken), PublicURL: public,
			})
			if err != nil {
				return nil, fmt.Errorf("account %s: %w", accountName(a), err)
			}
			all[accountName(a)] = twilio{callbacks: c, book: g.maker.book}
		case a.Provider == sandbox.ProviderSMTP && a.SMTP.EventsSecret != "":
			all[accountName(a)] = callback.Relay{Secret: []byte(a.SMTP.EventsSecret), Provider: a.Provider, Book: g.maker.book}
		}
	}
	return all, nil
}

// twilio reads what Twilio reports.
type twilio struct {
	callbacks *sms.Callbacks
	book      *channels.ErrorBook
}

var consents = map[sms.Consent]callback.Consent{sms.Stop: callback.Stop, sms.Start: callback.Start}

var states = map[string]topics.State{"sent": topics.Sent, "delivered": topics.Delivered, "failed": topics.Failed}

// Read is callback.Source.
func (t twilio) Read(r *http.Request) (callback.News, error) {
	if !r.URL.Query().Has("d") {
		m, err := t.callbacks.Reply(r)
		if err != nil {
			return callback.News{}, signature(err)
		}
		return callback.News{Consent: consents[m.Consent], Protocol: topics.SMS, Endpoint: m.From}, nil
	}
	s, err := t.callbacks.Status(r)
	if err != nil {
		return callback.News{}, signature(err)
	}
	id, err := queue.ParseID(s.Delivery)
	if err != nil {
		return callback.News{}, fmt.Errorf("%w: d is no delivery", callback.ErrUnreadable)
	}
	try, err := strconv.Atoi(r.URL.Query().Get("t"))
	if err != nil {
		return callback.News{}, fmt.Errorf("%w: t is no number", callback.ErrUnreadable)
	}
	ev := s.Evidence(t.book)
	if ev.State == "" {
		return callback.News{}, nil
	}
	return callback.News{Evidence: &topics.Evidence{Delivery: id, Try: try, State: states[ev.State], ProviderID: s.SID, Err: ev.Err}}, nil
}

func signature(err error) error {
	if errors.Is(err, sms.ErrSignature) {
		return fmt.Errorf("%w: %w", callback.ErrSignature, err)
	}
	return fmt.Errorf("%w: %w", callback.ErrUnreadable, err)
}

// owners are all whose topics this gateway knows: the accounts of all keys, in
// the native API's region and in that of the AWS faces.
func owners(cfg config.Config) []topics.Owner {
	accounts := []string{topics.DefaultOwner.Account}
	for _, k := range cfg.Keys {
		accounts = append(accounts, k.Account)
	}
	for _, k := range cfg.AWS.AccessKeys {
		accounts = append(accounts, k.Account)
	}
	slices.Sort(accounts)
	var all []topics.Owner
	for _, account := range slices.Compact(accounts) {
		all = append(all, topics.Owner{Account: account, Region: topics.DefaultOwner.Region}, topics.Owner{Account: account, Region: cfg.AWS.Region})
	}
	return all
}
