package policy

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	maxRules = 64 << 20  // bytes of a rule file
	maxList  = 512 << 20 // and of a list, when it is unpacked

	// fetchTime bounds how long a file may take to come from elsewhere.
	fetchTime = time.Minute
)

// isURL reports whether a source is to be fetched.
func isURL(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}

// folderOf is what relative names in a source are relative to.
func folderOf(source string) string {
	if isURL(source) {
		return ""
	}
	return filepath.Dir(source)
}

// stamp says which contents of a file were read: the time of its last change, its size, and which file it is. That of a
// URL is nil.
type stamp struct{ os.FileInfo }

func (s stamp) same(other stamp) bool {
	if s.FileInfo == nil || other.FileInfo == nil {
		return s.FileInfo == other.FileInfo
	}
	return s.ModTime().Equal(other.ModTime()) && s.Size() == other.Size() && os.SameFile(s.FileInfo, other.FileInfo)
}

// changed reports whether a file is no longer what it was. One that can't be looked at is not.
func changed(source string, before stamp) bool {
	if isURL(source) {
		return false
	}
	info, err := os.Stat(source)
	return err == nil && !before.same(stamp{info})
}

// open opens a file or fetches a URL. What it returns is read while ctx lasts.
func (s Sources) open(ctx context.Context, source string) (io.ReadCloser, stamp, error) {
	if isURL(source) {
		body, err := s.fetch(ctx, source)
		return body, stamp{}, err
	}
	f, err := os.Open(source)
	if err != nil {
		info, _ := os.Stat(source)
		return nil, stamp{info}, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("open %s: it is a directory", source)
	}
	if err != nil {
		f.Close()
		return nil, stamp{}, err
	}
	return f, stamp{info}, nil
}

var errDowngrade = errors.New("refused to follow from https to http")

// fetch fetches a URL on a connection of its own.
func (s Sources) fetch(ctx context.Context, url string) (io.ReadCloser, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if s.Control != nil {
		dialer := net.Dialer{Control: s.Control, Timeout: fetchTime}
		dialer.Resolver = &net.Resolver{Dial: (&net.Dialer{Control: s.Control}).DialContext}
		transport.DialContext = dialer.DialContext
	}
	transport.DisableKeepAlives = true
	client := &http.Client{Transport: transport, CheckRedirect: follow}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("fetch %s: %s", url, response.Status)
	}
	return response.Body, nil
}

// follow says whether a redirect is followed: what was asked for with TLS is not taken without.
func follow(next *http.Request, via []*http.Request) error {
	const most = 10
	switch {
	case len(via) >= most:
		return fmt.Errorf("more than %d redirects", most)
	case via[len(via)-1].URL.Scheme == "https" && next.URL.Scheme != "https":
		return errDowngrade
	}
	return nil
}

// read reads a file or URL of at most maxRules bytes.
func (s Sources) read(ctx context.Context, source string) ([]byte, stamp, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	r, as, err := s.open(ctx, source)
	if err != nil {
		return nil, as, err
	}
	defer r.Close()
	text, err := io.ReadAll(atMost(r, maxRules))
	return text, as, err
}

// listSpec says which list is meant. Rules that mean the same share it.
type listSpec struct {
	source string
	format string
	gzip   packing
	reload time.Duration // 0: only together with the rules
}

// packing says whether a list is packed with gzip.
type packing uint8

const (
	asItLooks packing = iota
	plain
	gzipped
)

// load reads the list.
func (l listSpec) load(ctx context.Context, from Sources) (*domains, stamp, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	r, s, err := from.open(ctx, l.source)
	if err != nil {
		return nil, s, err
	}
	defer r.Close()
	unpacked, err := unpack(r, l.gzip)
	if err != nil {
		return nil, s, fmt.Errorf("%s: %w", l.source, err)
	}
	names, err := parseList(l.format, atMost(unpacked, maxList))
	switch err := in(l.source, err).(type) {
	case nil:
		return names, s, nil
	case *lineError:
		return nil, s, err
	default:
		return nil, s, fmt.Errorf("read %s: %w", l.source, err)
	}
}

// unpack takes off gzip (RFC 1952).
func unpack(r io.Reader, how packing) (io.Reader, error) {
	head := make([]byte, 2)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	packed := n == 2 && head[0] == 0x1f && head[1] == 0x8b
	r = io.MultiReader(strings.NewReader(string(head[:n])), r)
	switch {
	case how == gzipped && !packed:
		return nil, errors.New("it is not packed with gzip: want \"gzip\": false")
	case how == plain && packed:
		return nil, errors.New("it is packed with gzip: want \"gzip\": true")
	case packed:
		return gzip.NewReader(r)
	}
	return r, nil
}

// atMost is a reader that fails when there is more than it may read.
func atMost(r io.Reader, most int64) io.Reader { return &bounded{r, most, most} }

type bounded struct {
	r          io.Reader
	left, most int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("longer than %d MiB", b.most>>20)
	}
	// One byte more than there may be tells a file that is too long from one that ends here.
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		n--
		err = nil
	}
	return n, err
}
