package peers

import (
	"fmt"
	"regexp"
	"strings"
)

// Chromium is a browser without a window, that trusts the given root certificates
// (PEM) besides its own, and no name but localhost. It is driven over the WebSocket
// that [ChromiumEndpoint] finds in its stderr.
//
// It finds its roots in a database of NSS in its home, which it would make itself; then
// certutil would ask for a password for ever. So certutil makes it first.
func Chromium(roots ...string) (Program, error) {
	if _, err := find("chromium-headless-shell"); err != nil {
		return Program{}, err
	}
	if _, err := find("certutil"); err != nil {
		return Program{}, err
	}
	p := Program{
		Name:  "sh",
		Env:   []string{"HOME=" + Here},
		Files: map[string]string{},
		Ready: func(stderr string) bool { return ChromiumEndpoint(stderr) != "" },
	}
	script := []string{"mkdir -p .pki/nssdb", "timeout 10 certutil -d sql:.pki/nssdb -N --empty-password"}
	for i, root := range roots {
		name := fmt.Sprintf("root%d.pem", i)
		p.Files[name] = root
		script = append(script, fmt.Sprintf("timeout 10 certutil -d sql:.pki/nssdb -A -t C,, -n root%d -i %s", i, name))
	}
	// Whatever it would like to tell its maker has no address to go to.
	script = append(script, `exec chromium-headless-shell --no-sandbox --disable-gpu --no-first-run --disable-sync \
		--disable-background-networking --disable-component-update --disable-default-apps \
		--host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1' \
		--user-data-dir=profile --remote-debugging-port=0 about:blank`)
	p.Args = []string{"-c", strings.Join(script, " &&\n")}
	return p, nil
}

var devTools = regexp.MustCompile(`(?m)^DevTools listening on (ws://\S+)$`)

// ChromiumEndpoint returns the URL at which a Chromium can be driven, once it has
// announced it on stderr.
func ChromiumEndpoint(stderr string) string {
	match := devTools.FindStringSubmatch(stderr)
	if match == nil {
		return ""
	}
	return match[1]
}
