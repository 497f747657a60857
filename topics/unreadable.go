package topics

import (
	"context"
	"errors"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// passOver reports an error of a part of the store that cannot be read, with what
// it was met in: what else there is goes on. Other errors it returns.
func (t *Topics) passOver(err error, in ...any) error {
	if !errors.Is(err, queue.ErrUnreadable) {
		return err
	}
	t.log.Error("a part of the store cannot be read, what lies in it or behind it is not looked at", append(in, "error", err)...)
	return nil
}

// unreadablePause is how long work rests that what cannot be read has ended.
const unreadablePause = time.Minute

// keepOn begins work anew that ended at what cannot be read. Its other errors
// end it.
func (t *Topics) keepOn(ctx context.Context, name string, work func(context.Context) error) error {
	return rounds(ctx, 0, func() (time.Duration, error) {
		return unreadablePause, t.passOver(work(ctx), "work", name)
	})
}
