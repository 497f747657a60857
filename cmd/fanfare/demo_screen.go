package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// screen shows the demonstration.
type screen interface {
	// say prints what happens now.
	say(text string)
	// show prints where the deliveries of a publish stand.
	show(rows []row)
	// leave ends the showing of a publish; what it showed stays.
	leave()
}

// row is one delivery.
type row struct {
	id     string
	name   string
	via    string // provider, or protocol where there is none
	state  string
	tries  int
	answer string        // last failure
	took   time.Duration // since the publish; until the end, once it has ended
}

// newScreen is a live table on a terminal with room for it, else plain lines.
func newScreen(out io.Writer, begin time.Time) screen {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return &plain{out: out, begin: begin, last: map[string]row{}}
	}
	size := func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 80, 24
		}
		return width, height
	}
	if _, height := size(); height < tableHeight {
		return &plain{out: out, begin: begin, last: map[string]row{}}
	}
	return &table{out: out, begin: begin, size: size, colour: os.Getenv("NO_COLOR") == ""} // https://no-color.org
}

// plain prints a line for each change.
type plain struct {
	out   io.Writer
	begin time.Time
	last  map[string]row // by id
}

func (p *plain) say(text string) {
	_, _ = fmt.Fprintf(p.out, "%6.2fs  %s\n", time.Since(p.begin).Seconds(), text)
}

func (p *plain) show(rows []row) {
	for _, r := range rows {
		now := r
		now.took = 0 // changes all the time
		if p.last[r.id] == now {
			continue
		}
		p.last[r.id] = now
		p.say(strings.TrimSpace(fmt.Sprintf("%-20s  %-7s  %-10s  try %d  after %.2fs  %s", r.name, r.via, r.state, r.tries, r.took.Seconds(), r.answer)))
	}
}

func (p *plain) leave() {}
