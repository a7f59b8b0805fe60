package httpconnect

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bridgeio/bridgeio/detect"
)

// RequestBody returns the body that follows a request head (RFC 9112 §6.3). What two recipients could frame
// differently is malformed: Content-Length with Transfer-Encoding, more than one Content-Length or one that is not a
// number, a Transfer-Encoding that is not "chunked" alone, and one in HTTP/1.0.
func RequestBody(h *detect.RequestHead) (Body, error) {
	codings, length := h.Values("Transfer-Encoding"), h.Values("Content-Length")
	switch {
	case len(codings) == 0 && len(length) == 0:
		return Body{}, nil
	case len(codings) == 0:
		return lengthBody(length)
	case len(length) > 0:
		return Body{}, malformed("Content-Length with Transfer-Encoding", 0)
	case h.Minor == 0 || len(codings) > 1 || !strings.EqualFold(codings[0], "chunked"):
		return Body{}, malformed("Transfer-Encoding", 0)
	}
	return Body{kind: inChunks, chunks: chunks{strict: true}}, nil
}

// ResponseBody returns the body that follows a response head, which answers a request of the given method (RFC 9112
// §6.3). It is malformed where two recipients could frame it differently.
func ResponseBody(h *ResponseHead, method string) (Body, error) {
	codings, length := h.Values("Transfer-Encoding"), h.Values("Content-Length")
	switch {
	case method == "HEAD", h.class() == 1, h.Status == 204, h.Status == 304, method == "CONNECT" && h.class() == 2:
		// RFC 9110 §9.3.6: "A client MUST ignore any Content-Length or Transfer-Encoding header fields received in a
		// successful response to CONNECT."
		return Body{}, nil
	case len(codings) == 0 && len(length) == 0:
		return Body{kind: untilClose}, nil
	case len(codings) == 0:
		return lengthBody(length)
	case len(length) > 0:
		return Body{}, malformed("Content-Length with Transfer-Encoding", 0)
	case h.Minor == 0:
		// RFC 9112 §6.1: a client "MUST treat the message as if the framing is faulty".
		return Body{}, malformed("Transfer-Encoding", 0)
	}
	return codedBody(codings)
}

// lengthBody is a body of the one Content-Length. RFC 9110 §8.6 lets a recipient take a list of equal values for one;
// not all do.
func lengthBody(length []string) (Body, error) {
	n, err := strconv.ParseUint(length[0], 10, 63)
	if err != nil || len(length) > 1 || strings.Trim(length[0], "0123456789") != "" {
		return Body{}, malformed("Content-Length", 0)
	}
	return Body{kind: ofLength, left: n}, nil
}

// codedBody is a body in these transfer codings: in chunks when the last one says so, else until the server closes.
func codedBody(fields []string) (Body, error) {
	var codings []string
	for _, coding := range elements(fields) {
		name, _, _ := strings.Cut(coding, ";")
		codings = append(codings, strings.ToLower(trimBlanks(name)))
	}
	switch last := len(codings) - 1; {
	case last < 0, slices.ContainsFunc(codings, func(c string) bool { return !isToken(c) }):
		return Body{}, malformed("Transfer-Encoding", 0)
	case slices.Contains(codings[:last], "chunked"): // RFC 9112 §6.1: "MUST NOT apply the chunked [...] more than once"
		return Body{}, malformed("Transfer-Encoding", 0)
	case codings[last] == "chunked":
		return Body{kind: inChunks}, nil
	}
	return Body{kind: untilClose}, nil
}

// elements returns the elements of a list that is spread over fields (RFC 9110 §5.6.1), without empty ones.
func elements(fields []string) []string {
	var all []string
	for _, field := range fields {
		for element := range strings.SplitSeq(field, ",") {
			if element = trimBlanks(element); element != "" {
				all = append(all, element)
			}
		}
	}
	return all
}
