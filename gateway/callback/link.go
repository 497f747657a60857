package callback

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Links makes and reads unsubscribe links. A link's token is
//
//	base64url(delivery id, sealed(owner, address, topic or lane))
//
// sealed by AES-256-GCM with the HMAC-SHA256 of the delivery's id as its key.
// So it holds all that a click needs and works as long as the store lives, not
// only until the publish is forgotten (CAN-SPAM asks for 30 days, CASL for 60),
// and a log of URLs does not tell who got mail.
type Links struct {
	base string
	key  []byte
}

// NewLinks reads the store's key of links, or makes it the first time; durable
// on return. It is in backups: links survive a restore. publicURL is where
// people reach the gateway.
func NewLinks(ctx context.Context, store *queue.Store, publicURL string) (*Links, error) {
	l := &Links{base: strings.TrimRight(publicURL, "/") + "/u/"}
	name := []byte(topics.DefaultOwner.Account + "/" + topics.DefaultOwner.Region + "/k/unsubscribe")
	r, err := store.Get(queue.Registry, name)
	if errors.Is(err, queue.ErrNotFound) {
		r.Value = make([]byte, sha256.Size)
		_, _ = rand.Read(r.Value) // never fails
		b := &queue.Batch{}
		b.Put(name, r.Value)
		_, err = store.Commit(ctx, queue.Registry, b)
	}
	if err != nil {
		return nil, fmt.Errorf("key of unsubscribe links: %w", err)
	}
	l.key = r.Value
	return l, nil
}

// String shows no key.
func (l *Links) String() string { return "links " + l.base }

// wish is what a link asks for, sealed.
type wish struct {
	Account  string        `json:"a"`
	Region   string        `json:"r"`
	Endpoint string        `json:"e"`
	Topic    string        `json:"t,omitempty"`
	Lane     channels.Lane `json:"l,omitempty"`
}

// URL is the link of a delivery that asks for a suppression of mail.
func (l *Links) URL(o topics.Owner, id queue.ID, s topics.Suppression) string {
	text, _ := json.Marshal(wish{o.Account, o.Region, s.Endpoint, s.Topic, s.Lane}) // strings: cannot fail
	token := l.seal(id).Seal(id[:], nil, text, nil)
	return l.base + base64.RawURLEncoding.EncodeToString(token)
}

// seal is the cipher of one delivery's links. It puts a random nonce in front.
func (l *Links) seal(id queue.ID) cipher.AEAD {
	mac := hmac.New(sha256.New, l.key)
	mac.Write(id[:])
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		panic(err) // 32 bytes are a key of AES
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // the block is one of AES
	}
	return aead
}

// open reads a token; ok is false if this store did not make it.
func (l *Links) open(token string) (o topics.Owner, s topics.Suppression, ok bool) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(token)
	var id queue.ID
	if err != nil || len(text) < len(id) {
		return o, s, false
	}
	copy(id[:], text)
	var w wish
	text, err = l.seal(id).Open(nil, nil, text[len(id):], nil)
	if err != nil || json.Unmarshal(text, &w) != nil {
		return o, s, false
	}
	return topics.Owner{Account: w.Account, Region: w.Region}, topics.Suppression{
		Protocol: topics.Email, Endpoint: w.Endpoint, Topic: w.Topic, Lane: w.Lane,
		Reason: "unsubscribed by the link in " + topics.DeliveryName(id),
	}, true
}
