package topics

import (
	"fmt"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// MaxArchiveDays is how long a topic's archive keeps a message at most.
// https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-topic-owner.html
const MaxArchiveDays = 365

// archived is a publish as its topic's archive keeps it, beside its ledger,
// which goes earlier. It is written in the publish's own batch and lies in its
// shard, in order of the time it was archived.
type archived struct {
	ID              queue.ID      `json:"id"`
	Created         time.Time     `json:"created"`
	Lane            channels.Lane `json:"lane"`
	OnUncertain     OnUncertain   `json:"on_uncertain,omitempty"`
	Template        string        `json:"template,omitempty"`
	TemplateVersion int           `json:"template_version,omitempty"`
	ExpiresAt       time.Time     `json:"expires_at,omitzero"`
	Content         content       `json:"content"`
}

// archive adds a publish to its topic's archive, if it is to be there.
func (t *Topics) archive(b *queue.Batch, p *Publish, c *content) {
	if p.Archived.IsZero() {
		return
	}
	put(b, archiveKey(p.Owner, p.Topic, p.Archived), archived{
		ID: p.ID, Created: p.Created, Lane: p.Lane, OnUncertain: p.OnUncertain, Template: p.Template,
		TemplateVersion: p.TemplateVersion, ExpiresAt: p.ExpiresAt, Content: *c,
	})
}

// enter looks up the topic that is published to, if it is one. If it has an
// archive, no replay takes the archive's end for granted until leave is called:
// before that, the publish has no id, and has not looked at a subscription.
func (t *Topics) enter(o Owner, name string) (topic Topic, leave func(), err error) {
	leave = func() {}
	if name == "" {
		return topic, leave, nil
	}
	if topic, err = t.Topic(o, name); err == nil && topic.ArchiveDays > 0 {
		leave = t.gates.enter(o, name)
	}
	return topic, leave, err
}

// ArchiveBegins is from when on a topic's messages can be replayed; now if it
// has no archive.
func (topic *Topic) ArchiveBegins(now time.Time) time.Time {
	begins := now.Add(-time.Duration(topic.ArchiveDays) * 24 * time.Hour)
	if begins.Before(topic.ArchivedSince) {
		return topic.ArchivedSince
	}
	return begins
}

// setArchive checks ArchiveDays and notes when the archive began; what one
// before it held is not part of it.
func (topic *Topic) setArchive(now time.Time) error {
	switch {
	case topic.ArchiveDays < 0 || topic.ArchiveDays > MaxArchiveDays:
		return invalid("archive_days", fmt.Sprintf("must be 0 (no archive) to %d", MaxArchiveDays))
	case topic.ArchiveDays == 0:
		topic.ArchivedSince = time.Time{}
	case topic.ArchivedSince.IsZero():
		topic.ArchivedSince = now.UTC().Truncate(time.Millisecond)
	}
	return nil
}

const archiveTable = 'z'

func archivePrefix(o Owner, topic string) []byte {
	return append([]byte{archiveTable}, o.prefix()+topic+"\x00"...)
}

func archiveKey(o Owner, topic string, id queue.ID) []byte {
	return append(archivePrefix(o, topic), id.Prefix()...)
}

// archiveTime is the place in an archive before all that was archived at a
// millisecond or later.
func archiveTime(o Owner, topic string, at time.Time) []byte {
	id := queue.MakeID(at, 0, 0, 0)
	return append(archivePrefix(o, topic), id[:6]...) // the time of an id
}

// archiveID and archiveOf read a key of archiveKey.
func archiveID(key []byte) (id queue.ID) {
	copy(id[:], key[len(key)-len(id.Prefix()):])
	return id
}

func archiveOf(key []byte) (o Owner, topic string) {
	text := string(key[1 : len(key)-len(queue.ID{}.Prefix())-1])
	o.Account, text, _ = strings.Cut(text, "/")
	o.Region, topic, _ = strings.Cut(text, "/")
	return o, topic
}
