package interop

import (
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// pinned runs a curl that knows the site's authority and not ours, as one does that pins.
func (s site) pinned(t *testing.T, m *mitm) peers.Result {
	t.Helper()
	return run(t, "", "curl", curlArgs("--cacert", s.root, "-x", "socks5h://"+m.addrs[0], s.https("/"))...)
}

const refused = 60 // CURLE_PEER_FAILED_VERIFICATION

// A client that does not accept our certificate fails, as it must, and then reaches the
// server itself, for a while. All others are inspected all the while.
func TestTLSAClientThatPinsIsLetThroughForAWhile(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startTLSMitm(t, s.root, "--bypassonfail", "1:6")
	checkRefusal := func(res peers.Result) {
		t.Helper()
		if res.Code != refused || !strings.Contains(res.Stderr, "unable to get local issuer certificate") {
			t.Fatalf("curl that pins ends with %+v, want code %d", res, refused)
		}
		f := m.flow(t)
		if f.Action != "inspect" || f.Reason != "tls_client" || f.EndedBy != "client" || f.TLS.Refused != "unknown_ca" || f.TLS.Certificate.Verdict != "ok" {
			t.Errorf("flow %+v, %+v, want one that the client refused", f, f.TLS)
		}
	}
	checkBypass := func(res peers.Result) {
		t.Helper()
		if res.Code != 0 || res.Stdout != "hello from nginx\n" {
			t.Errorf("curl that pins ends with %+v, want the page", res)
		}
		f := m.flow(t)
		line{path: "socks5>tls(pass)", action: "bypass", target: s.target()}.check(t, peersFlow(f))
		if f.Rule != "bypassonfail" {
			t.Errorf("rule %q, want bypassonfail", f.Rule)
		}
	}
	checkRefusal(s.pinned(t, m))
	checkBypass(s.pinned(t, m))

	// Another program, and another way to use the same one.
	page := succeed(t, "wget", "--no-config", "--no-hsts", "--tries=1", "-qO-", "--ca-certificate", m.root,
		"-e", "use_proxy=yes", "-e", "https_proxy=http://"+m.addrs[0], "-e", "no_proxy=", s.https("/status"))
	if !strings.Contains(page, "protocol=HTTP/1.1") {
		t.Errorf("wget gets %q", page)
	}
	if f := m.flow(t); f.Action != "inspect" || f.Reason != "eof" || f.TLS.Certificate.LeafSHA256 == "" {
		t.Errorf("flow of wget %+v, want one that is inspected", f)
	}
	page = curl(t, "--tls-max", "1.2", "--cacert", m.root, "-x", "socks5h://"+m.addrs[0], s.https("/status"))
	if f := m.flow(t); f.Action != "inspect" || !strings.Contains(page, "tls=TLSv1.2") {
		t.Errorf("flow of another curl %+v, page %q, want one that is inspected", f, page)
	}

	now := time.NewTicker(200 * time.Millisecond)
	defer now.Stop()
	res := s.pinned(t, m)
	for res.Code == 0 && !t.Failed() { // until the end of the bypass
		checkBypass(res)
		<-now.C
		res = s.pinned(t, m)
	}
	checkRefusal(res)
	checkBypass(s.pinned(t, m)) // it has been refused again
}

// peersFlow leaves out what a flow that passed says of TLS, which is no agreement.
func peersFlow(f peers.Flow) peers.Flow {
	f.TLS = nil
	return f
}

// As often as is asked for, and never when that is off.
func TestTLSAClientThatPinsHasToRefuseSoOften(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	for flag, want := range map[string][]int{"3:60": {refused, refused, refused, 0, 0}, "off": {refused, refused, refused, refused, refused}} {
		m := startTLSMitm(t, s.root, "--bypassonfail", flag)
		for i, code := range want {
			if res := s.pinned(t, m); res.Code != code {
				t.Errorf("--bypassonfail %s, try %d: curl ends with %+v, want code %d", flag, i+1, res, code)
			}
			m.flow(t)
		}
	}
}

// A client that refuses what is wrong with the server's own certificate is right to do so,
// and is never let through to it.
func TestTLSRefusalsOfBrokenServersDoNotCount(t *testing.T) {
	t.Parallel()
	known := newIssuer(t, "Origin Root", nil)
	root := writeFile(t, "root.pem", known.pem)
	m := startTLSMitm(t, root)
	for _, f := range faults(t, known) {
		if f.verdict == "ok" {
			continue
		}
		port := serveWith(t, f.leaf)
		for range 3 {
			res := run(t, "", "curl", curlArgs("--cacert", root, "-x", "http://"+m.addrs[0], "https://"+at(port)+"/")...)
			if flow := m.flow(t); res.Code != refused || flow.Action != "inspect" {
				t.Errorf("%s: curl ends with %+v, flow %+v, want code %d all the time", f.name, res, flow, refused)
			}
		}
	}
}

// Each client has its own way to refuse. Those that say so are let through the next time,
// those that just leave when they have done so a few times.
func TestTLSEachClientThatPinsIsLetThrough(t *testing.T) {
	t.Parallel()
	known := newIssuer(t, "Origin Root", nil)
	root := writeFile(t, "root.pem", known.pem)
	port := serveWith(t, known.server(t))
	m := startTLSMitm(t, root)
	through := recording(t, dialer(t.Context(), m.addrs[0], "socks5", at(port)))
	alerts := map[string]string{
		"curl": "unknown_ca", "s_client": "unknown_ca", "gnutls-cli": "bad_certificate", "java": "certificate_unknown",
	}
	for client, says := range judges(t) {
		refusals := 0
		for ; !says(t, through.port(), root).content; refusals++ {
			f := m.flow(t)
			if f.Action != "inspect" || f.TLS.Refused == "" || alerts[client] != "" && f.TLS.Refused != alerts[client] {
				t.Fatalf("%s: flow %+v, %+v, want a refusal by %q", client, f, f.TLS, alerts[client])
			}
			if refusals == 4 {
				t.Fatalf("%s is not let through after %d refusals", client, refusals)
			}
		}
		if f := m.flow(t); f.Action != "bypass" || refusals < 1 || refusals > 1 && alerts[client] != "" {
			t.Errorf("%s: flow %+v after %d refusals, want a bypass", client, f, refusals)
		}
	}
}
