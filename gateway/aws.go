package gateway

import (
	"context"
	"net/http"

	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/gateway/rest"
	"github.com/fanfare-gateway/fanfare/gateway/sns"
	"github.com/fanfare-gateway/fanfare/gateway/sqs"
	"github.com/fanfare-gateway/fanfare/topics"
)

// awsServices are the AWS faces. They live as long as the store: a reload
// changes who may use them, not what they do.
func (g *Gateway) awsServices(cfg config.AWS) []awswire.Service {
	lax := g.opts.Sandbox != nil
	return []awswire.Service{
		sqs.Service(sqs.Options{
			Store: g.store, Region: cfg.Region, RecreateAtOnce: cfg.RecreateAtOnce, BareNames: lax, OtherAccounts: lax, Logger: g.log,
		}),
		sns.Service(g.sns),
	}
}

// snsForm gives SNS's form to what its subscriptions get. Links in it lead to
// the public address, or else the listener's own.
func (g *Gateway) snsForm(ctx context.Context, cfg config.Config) (form *sns.Form, err error) {
	if g.signing, err = sns.NewKeys(ctx, g.store, signingPair(cfg.AWS)); err != nil {
		return nil, err
	}
	address := cfg.PublicURL
	if address == "" {
		address = g.URL()
	}
	return sns.NewForm(sns.FormOptions{
		URL: address, Signer: g.signing, Store: g.store, Region: cfg.AWS.Region, Lax: g.opts.Sandbox != nil,
		Topic: func(o topics.Owner, name string) (topics.Topic, error) { return g.topics.Topic(o, name) },
	}), nil
}

// signingPair is what SNS messages are signed with; empty for the store's own.
func signingPair(cfg config.AWS) sns.Pair {
	if cfg.SigningKey == "" {
		return sns.Pair{}
	}
	return sns.Pair{Key: []byte(cfg.SigningKey), Certificate: []byte(cfg.SigningCertificate)}
}

// certificatesOr serves the certificates of SNS messages, those of earlier keys
// too, and hands all other requests to next.
func certificatesOr(keys *sns.Keys, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if keys.Serves(r.URL.Path) {
			keys.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// awsHandler serves the AWS faces to who has an access key; to all of this
// machine when there is no key of any kind; and with the sandbox to everybody,
// whatever they sign with.
func (g *Gateway) awsHandler(cfg config.Config) http.Handler {
	keys := make(map[string]config.AccessKey, len(cfg.AWS.AccessKeys))
	for _, k := range cfg.AWS.AccessKeys {
		keys[k.ID] = k
	}
	h := awswire.New(awswire.Options{
		Services: g.aws, MaxBody: 2 * int64(cfg.Limits.Request), BodyTimeout: bodyTimeout, Answered: g.metrics.countSNS, Logger: g.log,
		Verifier: awswire.Verifier{
			Open: cfg.Keyless() || g.opts.Sandbox != nil, Account: topics.DefaultOwner.Account, Region: cfg.AWS.Region,
			Secret: func(id string) (secret, account string, ok bool) {
				k, ok := keys[id]
				return string(k.Secret), k.Account, ok
			},
		},
	})
	if !cfg.Keyless() {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := rest.Foreign(r); why != "" {
			h.Refuse(w, r, &awswire.Error{
				Code: "AccessDenied", JSONCode: "com.amazon.coral.service#AccessDeniedException", Status: http.StatusForbidden,
				Message: "Without any key configured only this machine is served: " + why + ".",
			})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// awsOr hands the AWS protocols' requests to aws and all others to next.
func awsOr(aws, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if awswire.Is(r) {
			aws.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
