package certpage

import (
	"mime"
	"strconv"
	"strings"
)

// prefersText reports whether the Accept fields (RFC 9110 §12.5.1) rather want text/plain than text/html.
func prefersText(fields []string) bool {
	var text, html preference
	for item := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		mediaRange, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue // a range that is none asks for nothing
		}
		q := 1.0
		if v, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(v, 64); err != nil || !(0 <= q && q <= 1) {
				continue
			}
		}
		text.heed(mediaRange, "text/plain", q)
		html.heed(mediaRange, "text/html", q)
	}
	return text.q > html.q
}

// preference is how much a media type is wanted, by the most specific range that has been seen.
type preference struct {
	specific int
	q        float64
}

// RFC 9110 §12.5.1: "Media ranges can be overridden by more specific media ranges or specific media types."
func (p *preference) heed(mediaRange, mediaType string, q float64) {
	specific := 0
	switch mediaRange {
	case mediaType:
		specific = 3
	case "text/*":
		specific = 2
	case "*/*":
		specific = 1
	}
	if specific > p.specific {
		p.specific, p.q = specific, q
	}
}
