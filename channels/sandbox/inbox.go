package sandbox

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Item is one request a fake saw.
type Item struct {
	// Seq counts the requests; it goes on after a restart.
	Seq       int       `json:"seq"`
	At        time.Time `json:"at,omitzero"`
	Provider  string    `json:"provider,omitempty"`
	Recipient string    `json:"recipient,omitempty"`
	// ID is the provider's id of the message.
	ID string `json:"id,omitempty"`
	// Delivery is the sender's own id as it travelled on the wire (apns-id,
	// Message-ID, webhook-id, deduplication id, d= of a callback URL).
	Delivery string `json:"delivery,omitempty"`
	Subject  string `json:"subject,omitempty"`
	Body     string `json:"body,omitempty"`
	// Fields are what else came along: headers, form fields, attributes.
	Fields map[string]string `json:"fields,omitempty"`
	// Accepted: the provider took the message, whether or not its answer got back.
	Accepted bool   `json:"accepted"`
	Status   int    `json:"status,omitempty"`
	Code     string `json:"code,omitempty"`
	// RepeatOf is the Seq of an earlier accepted item that this one repeats, as the
	// receiver sees it; 0 for none. It is known by the sender's own id: a phone shows
	// only the later of two notifications of one collapse id (APNs) or tag (Android),
	// the receiver of a webhook drops an id it knows.
	// https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
	// https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#AndroidNotification
	// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
	RepeatOf int `json:"repeat_of,omitempty"`
	// Callbacks are what the provider reports of the message later, each as
	// "status" or "status:code"; Reported is how many have been answered.
	Callbacks []string `json:"callbacks,omitempty"`
	Reported  int      `json:"reported,omitempty"`
	// Verified: the signature fits the secret that Webhook.Expect was given.
	Verified bool `json:"verified,omitempty"`
	// Trimmed: subject, body and fields are in the journal only, if there is one.
	Trimmed bool `json:"trimmed,omitempty"`
}

func (it *Item) details() int {
	n := len(it.Subject) + len(it.Body)
	for name, value := range it.Fields {
		n += len(name) + len(value) + 32 // and their two headers
	}
	return n
}

// sameAs is what an item is known by when it comes again.
func (it *Item) sameAs() string { return it.Provider + "\x00" + it.Recipient + "\x00" + it.Delivery }

// known tells whether its receiver knows it when it comes again.
func (it *Item) known() bool {
	switch {
	case !it.Accepted || it.Delivery == "":
		return false
	case it.Provider == ProviderAPNs:
		return it.Fields["apns-collapse-id"] != ""
	case it.Provider == ProviderFCM:
		return it.Fields["tag"] != ""
	}
	return it.Provider == ProviderWebhook
}

// Inbox lists the accepted messages of a provider for a recipient, in order;
// "" stands for any.
func (c *core) Inbox(provider, recipient string) []Item {
	items, _ := c.page(filter{provider: provider, recipient: recipient, accepted: "true"}, 0, keepItems)
	return items
}

// Requests lists all requests seen, also those refused or dropped.
func (c *core) Requests(provider, recipient string) []Item {
	items, _ := c.page(filter{provider: provider, recipient: recipient}, 0, keepItems)
	return items
}

// filter says which items are wanted; "" stands for any. The delivery is a
// plainID, accepted is "true" or "false".
type filter struct{ provider, recipient, delivery, accepted string }

func (f filter) wants(it *Item) bool {
	return (f.provider == "" || it.Provider == f.provider) &&
		(f.recipient == "" || it.Recipient == f.recipient) &&
		(f.accepted == "" || it.Accepted == (f.accepted == "true")) &&
		(f.delivery == "" || plainID(it.Delivery) == f.delivery)
}

// plainID is a delivery's id in the form all its forms have in common: without
// prefix and dashes, in lower case.
func plainID(id string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(id, "dlv_"), "-", ""))
}

// page lists at most limit wanted items after the one with a seq, and how far
// it looked.
func (c *core) page(f filter, after, limit int) (found []Item, last int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearchFunc(c.items, after+1, func(it Item, seq int) int { return cmp.Compare(it.Seq, seq) })
	for last = after; i < len(c.items) && len(found) < limit; i++ {
		it := &c.items[i]
		last = it.Seq
		if f.wants(it) {
			found = append(found, *it)
		}
	}
	return found, last
}

// newest lists at most limit wanted items, the last first.
func (c *core) newest(f filter, limit int) (found []Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.items) - 1; i >= 0 && len(found) < limit; i-- {
		if it := &c.items[i]; f.wants(it) {
			found = append(found, *it)
		}
	}
	return found
}

// counts are the items in memory by provider, "" for all.
func (c *core) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := map[string]int{"": len(c.items)}
	for i := range c.items {
		n[c.items[i].Provider]++
	}
	return n
}
