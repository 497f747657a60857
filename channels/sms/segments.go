package sms

import "strings"

// MaxBody is the most characters Twilio takes in one message (error 21617).
const MaxBody = 1600

// The sizes of a segment, alone and as part of a longer message, whose header
// takes six octets: 3GPP TS 23.040 section 9.2.3.24.1.
const (
	gsmAlone, gsmPart   = 160, 153 // septets
	ucs2Alone, ucs2Part = 70, 67   // UTF-16 code units
)

// The GSM 7-bit default alphabet and its extension table, whose characters
// take two septets: 3GPP TS 23.038 section 6.2.1.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtension = "\f^{}\\[~]|€"
)

// Segments counts the messages a body is sent and charged as: 160 characters of
// the GSM alphabet, or 70 UTF-16 code units if there is any other character;
// 153 and 67 each when more than one is needed. A character is never cut in two.
// An empty body is one segment.
func Segments(body string) int {
	if n, ok := count(body, gsmWidth, gsmAlone, gsmPart); ok {
		return n
	}
	n, _ := count(body, utf16Width, ucs2Alone, ucs2Part)
	return n
}

// count packs a body into segments; false if it has a character without a width.
func count(body string, width func(rune) int, alone, part int) (segments int, ok bool) {
	total, used, parts := 0, 0, 1
	for _, r := range body {
		w := width(r)
		if w == 0 {
			return 0, false
		}
		total += w
		if used+w > part {
			parts, used = parts+1, 0
		}
		used += w
	}
	if total <= alone {
		return 1, true
	}
	return parts, true
}

func gsmWidth(r rune) int {
	switch {
	case strings.ContainsRune(gsmBasic, r):
		return 1
	case strings.ContainsRune(gsmExtension, r):
		return 2
	}
	return 0
}

func utf16Width(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}
