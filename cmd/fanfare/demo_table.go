package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// tableHeight is the least height of a terminal, in lines, that holds the whole
// cast and some of the story: a frame that scrolls cannot be drawn over.
const tableHeight = 20

// table draws the deliveries of a publish, and the story below them, over what
// it drew before.
type table struct {
	out    io.Writer
	begin  time.Time
	size   func() (width, height int) // of the terminal, asked for each frame
	colour bool

	rows  []row
	notes []string
	drawn int // lines of the last frame
}

// Escape sequences (ECMA-48).
const (
	cursorUp   = "\x1b[%dA\r"
	eraseLine  = "\x1b[K"
	eraseBelow = "\x1b[J"
	plainText  = "\x1b[0m"
	bold       = "\x1b[1m"
	red        = "\x1b[31m"
	green      = "\x1b[32m"
	yellow     = "\x1b[33m"
)

// colours of states; the others have none.
var colours = map[string]string{"sent": green, "delivered": green, "failed": red, "suppressed": yellow, "uncertain": yellow}

func (t *table) say(text string) {
	note := fmt.Sprintf("%5.1fs  %s", time.Since(t.begin).Seconds(), text)
	if t.rows == nil {
		_, _ = fmt.Fprintln(t.out, note)
		return
	}
	t.notes = append(t.notes, note)
	t.draw()
}

func (t *table) show(rows []row) {
	t.rows = rows
	t.draw()
}

func (t *table) leave() { t.rows, t.notes, t.drawn = nil, nil, 0 }

// draw writes a frame at once, so that nothing flickers, over the last one.
func (t *table) draw() {
	width, height := t.size()
	var frame bytes.Buffer
	if t.drawn > 0 {
		fmt.Fprintf(&frame, cursorUp, t.drawn)
	}
	t.drawn = 0
	line := func(colour, text string) {
		text = clip(text, width-1) // a full line would wrap
		if t.colour && colour != "" {
			text = colour + text + plainText
		}
		frame.WriteString(text + eraseLine + "\n")
		t.drawn++
	}
	line(bold, cells(width, [6]string{"DELIVERY", "VIA", "STATE", "TRIES", "LAST FAILURE", "TIME"}))
	for _, r := range t.rows[:min(len(t.rows), max(0, height-2))] {
		line(colours[r.state], cells(width, [6]string{r.name, r.via, r.state, strconv.Itoa(r.tries), r.answer, fmt.Sprintf("%.2fs", r.took.Seconds())}))
	}
	room := max(0, height-1-t.drawn)
	for _, note := range t.notes[max(0, len(t.notes)-room):] {
		line("", note)
	}
	frame.WriteString(eraseBelow)
	_, _ = t.out.Write(frame.Bytes())
}

// cells lays out a line: what the others leave, up to 40, is for the fifth one.
func cells(width int, c [6]string) string {
	const others = 20 + 1 + 7 + 1 + 10 + 1 + 5 + 1 + 1 + 6
	room := max(10, min(40, width-1-others))
	return fmt.Sprintf("%-20s %-7s %-10s %5s %-*s %6s", c[0], c[1], c[2], c[3], room, clip(c[4], room), c[5])
}

// clip shortens text to width characters.
func clip(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(0, width-1)]) + "…"
}
