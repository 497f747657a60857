package sns

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// tokenLife is how long a confirmation's token is good.
// https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
const tokenLife = 48 * time.Hour

// confirmToken is what goes out: the subscription's id, then its secret.
func confirmToken(sub *topics.Subscription) string { return sub.ID.Hex() + sub.Token }

// restoring is the secret that is sent when a subscription was ended: another
// than the one that asked to confirm it, as on AWS. Both are good for both.
func restoring(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// idLength is that of an id in a token.
const idLength = 2 * len(queue.ID{})

func sameSecret(given, secret string) bool {
	return secret != "" && subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1
}

type confirmIn struct {
	TopicArn                  string `json:"TopicArn"`
	Token                     string `json:"Token"`
	AuthenticateOnUnsubscribe string `json:"AuthenticateOnUnsubscribe"`
}

// confirm confirms a subscription, signed or not: the token proves that it
// reached the endpoint, and names the subscription; of the topic's ARN account
// and region count, as on AWS. One that is confirmed already stays so.
func (s *service) confirm(ctx context.Context, r *awswire.Request, in *confirmIn) (*subscriptionOut, error) {
	switch {
	case in.TopicArn == "":
		return nil, invalid("TopicArn Reason: no value for required parameter")
	case in.Token == "":
		return nil, invalid("Token Reason: no value for required parameter")
	}
	parts := strings.Split(in.TopicArn, ":")
	if len(parts) != 6 || !unsigned(r) && parts[3] != r.Region {
		return nil, invalid("Topic")
	}
	o := s.in(parts[4], parts[3])
	sub, err := s.pending(o, in.Token)
	switch {
	case errors.Is(err, errNoToken) && parts[3] != r.Region: // a link says its region by the topic alone
		return nil, invalid("Topic")
	case errors.Is(err, errNoToken) && !isHex(in.Token):
		return nil, fault("InvalidParameter", http.StatusBadRequest, "Invalid token")
	case errors.Is(err, errNoToken):
		return nil, invalid("Token")
	case err != nil:
		return nil, err
	}
	sub, err = confirmed(ctx, s.Topics, o, sub.ID, func(attributes map[string]string) {
		attributes[keptAuthenticated] = strconv.FormatBool(!unsigned(r))
		if in.AuthenticateOnUnsubscribe == "true" && !unsigned(r) {
			attributes[keptLocked] = "true"
		}
	})
	return &subscriptionOut{s.subscriptionARN(o, sub.Topic, sub.ID)}, err
}

// isHex tells whether a token could be one, which SNS answers in other words.
func isHex(token string) bool { return strings.Trim(token, "0123456789abcdef") == "" }

// confirmed confirms a subscription that waits for it, or that was ended and is
// wanted back.
func confirmed(ctx context.Context, t *topics.Topics, o topics.Owner, id queue.ID, note func(attributes map[string]string)) (topics.Subscription, error) {
	sub, err := t.ChangeSubscription(ctx, o, id, func(sub *topics.Subscription) error {
		if sub.Pending {
			sub.Pending = false
			note(sub.Attributes)
		}
		return nil
	})
	if errors.Is(err, topics.ErrNotFound) {
		sub, err = t.Reactivate(ctx, o, id)
	}
	if errors.Is(err, topics.ErrNotFound) {
		err = invalid("Token")
	}
	return sub, err
}

// errNoToken: no subscription has the token, or no more.
var errNoToken = errors.New("no subscription has this token")

// pending finds the subscription a token is for. One that was ended counts as
// waiting for its confirmation since then.
func (s *Options) pending(o topics.Owner, token string) (topics.Subscription, error) {
	if len(token) <= idLength {
		return topics.Subscription{}, errNoToken
	}
	id, err := queue.ParseID(token[:idLength])
	if err != nil {
		return topics.Subscription{}, errNoToken
	}
	sub, err := s.Topics.Subscription(o, id)
	if errors.Is(err, topics.ErrNotFound) {
		var d topics.Deactivated
		d, err = s.Topics.Deactivated(o, id)
		sub, sub.Pending, sub.Created = d.Subscription, true, d.At
	}
	switch {
	case errors.Is(err, topics.ErrNotFound):
		return sub, errNoToken
	case err != nil:
		return sub, err
	case !sameSecret(token[idLength:], sub.Token) && !sameSecret(token[idLength:], restoring(sub.Token)), sub.Pending && s.Store.Now().Sub(sub.Created) > tokenLife:
		return sub, errNoToken
	}
	return sub, nil
}

// askToConfirm sends the token to the endpoint: as SNS does to machines, to
// people by a mail with a link.
func (s *service) askToConfirm(ctx context.Context, o topics.Owner, sub topics.Subscription) error {
	req := topics.Request{
		Owner: o, To: &topics.Target{Protocol: sub.Protocol, Endpoint: sub.Endpoint, Account: sub.Account},
		ExpiresAt: s.Store.Now().Add(tokenLife),
	}
	if sub.Protocol == topics.Email {
		req.Subject, req.Message = s.Form.confirmMail(o, &sub)
	} else {
		req.Overrides = map[string]topics.Override{sub.Protocol: s.Form.confirmation(o, &sub, s.Store.Now())}
	}
	_, _, err := s.Topics.Publish(ctx, req)
	return wordFor(err, "Endpoint")
}

// confirmation is the SubscriptionConfirmation of an http(s) endpoint.
// https://docs.aws.amazon.com/sns/latest/dg/http-subscription-confirmation-json.html
func (f *Form) confirmation(o topics.Owner, sub *topics.Subscription, now time.Time) topics.Override {
	return f.ask(o, sub, envelope{
		Type: confirmation, Timestamp: timestamp(now),
		Message: "You have chosen to subscribe to the topic " + f.topicARN(o, sub.Topic) + ".\nTo confirm the subscription, visit the SubscribeURL included in this message.",
	})
}

// unsubscribeConfirmation is the UnsubscribeConfirmation of an http(s) endpoint.
// https://docs.aws.amazon.com/sns/latest/dg/http-unsubscribe-confirmation-json.html
func (f *Form) unsubscribeConfirmation(o topics.Owner, sub *topics.Subscription, at time.Time) topics.Override {
	arn := f.subscriptionARN(o, sub.Topic, sub.ID)
	out := f.ask(o, sub, envelope{
		Type: unsubscribed, Timestamp: timestamp(at),
		Message: "You have chosen to deactivate subscription " + arn + ".\nTo cancel this operation and restore the subscription, visit the SubscribeURL included in this message.",
	})
	out.Headers[headerSubscription] = arn
	return out
}

// ask is a message with a subscription's token and the link that confirms it.
func (f *Form) ask(o topics.Owner, sub *topics.Subscription, e envelope) topics.Override {
	e.MessageID, e.Token, e.TopicArn = awswire.NewID(), confirmToken(sub), f.topicARN(o, sub.Topic)
	e.SubscribeURL = f.confirmURL(e.TopicArn, e.Token)
	headers := map[string]string{headerType: e.Type, headerID: e.MessageID, headerTopic: e.TopicArn}
	addLogin(headers, sub)
	return topics.Override{Payload: f.render(e, o, sub.Topic), ContentType: textPlain, Agent: agent, Headers: headers}
}

// confirmMail asks a person. The link leads to a page, because programs that
// look at mail open every link.
func (f *Form) confirmMail(o topics.Owner, sub *topics.Subscription) (subject, text string) {
	return "Subscription confirmation", "You have chosen to subscribe to the topic:\n" + f.topicARN(o, sub.Topic) +
		"\n\nTo confirm this subscription, open this link and press the button there:\n" + f.pageLink(o, sub) +
		"\n\nIf this was not you, do nothing: you will get no more mail.\n"
}

// unsubscribedMail tells a person that a link ended its subscription.
func (f *Form) unsubscribedMail(o topics.Owner, sub *topics.Subscription) (subject, text string) {
	return "Unsubscribe confirmation", "You get no more mail from the topic:\n" + f.topicARN(o, sub.Topic) +
		"\n\nIf that is not what you wanted, open this link and press the button there:\n" + f.pageLink(o, sub) + "\n"
}

func (f *Form) pageLink(o topics.Owner, sub *topics.Subscription) string {
	return f.URL + PagePath + "?" + url.Values{"TopicArn": {f.topicARN(o, sub.Topic)}, "Token": {confirmToken(sub)}}.Encode()
}
