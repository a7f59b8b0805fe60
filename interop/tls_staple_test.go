package interop

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
	"golang.org/x/crypto/ocsp"
)

// status is what the issuer says of a leaf at this time (RFC 6960).
func (i *issuer) status(t *testing.T, leaf peers.Leaf, code int) string {
	t.Helper()
	block, _ := pem.Decode([]byte(leaf.Cert))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	der, err := ocsp.CreateResponse(i.cert, i.cert, ocsp.Response{
		Status: code, SerialNumber: cert.SerialNumber, ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour),
		RevokedAt: now.Add(-2 * time.Hour), RevocationReason: ocsp.KeyCompromise,
	}, i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(der)
}

// Clients that ask for the status of the certificate get it when the server has one for
// them: of the leaf that they are shown, by its issuer.
func TestTLSStaplesAreMirrored(t *testing.T) {
	t.Parallel()
	known := newIssuer(t, "Origin Root", nil)
	below := newIssuer(t, "Origin Intermediate", known) // curl wants to see the leaf's issuer
	root := writeFile(t, "root.pem", known.pem)
	m := startTLSMitm(t, root, "--bypassonfail", "off")
	for _, protocol := range []string{"TLSv1.2", "TLSv1.3"} {
		page := "ssl_protocols " + protocol + `; location / { return 200 "a page"; }`
		const stapling = "ssl_stapling on; ssl_stapling_file @HERE@/staple.der;"
		leaf := withChain(below.server(t), below)
		with := func(code int) int {
			return nginxTLS(t, leaf, map[string]string{"staple.der": below.status(t, leaf, code)}, page, stapling)
		}
		for _, tt := range []struct {
			name, says, verdict string
			code                int // of curl with --cert-status
			through             int // likewise, through mitm
			port                int
		}{
			{"good", "Cert Status: good", "ok", 0, 0, with(ocsp.Good)},
			{"none", "OCSP response: no response sent", "ok", 91, 91, nginxTLS(t, leaf, nil, page)}, // CURLE_SSL_INVALIDCERTSTATUS
			// The authority that nobody trusts has signed what is revoked.
			{"revoked", "Cert Status: revoked", "revoked", 91, refused, with(ocsp.Revoked)},
		} {
			name := protocol + ", " + tt.name
			asks := func(root string, args ...string) peers.Result {
				return run(t, "", "curl", curlArgs(append(args, "--cert-status", "--cacert", root, "https://"+at(tt.port)+"/")...)...)
			}
			direct, through := asks(root), asks(m.root, "-x", "http://"+m.addrs[0])
			if direct.Code != tt.code || through.Code != tt.through || tt.through == tt.code && through != direct {
				t.Errorf("%s: curl ends with %+v, without mitm %+v, want codes %d and %d", name, through, direct, tt.through, tt.code)
			}
			m.checkVerdict(t, name, tt.verdict)

			res := run(t, "", "openssl", "s_client", "-status", "-connect", at(tt.port), "-servername", "localhost", "-proxy", m.addrs[0], "-CAfile", m.root)
			if !strings.Contains(res.Stdout, tt.says) {
				t.Errorf("%s: s_client lacks %q:\n%s", name, tt.says, res.Stdout)
			}
			m.checkVerdict(t, name, tt.verdict)

			// Who does not ask is not told.
			if page := curl(t, "--cacert", m.root, "-x", "http://"+m.addrs[0], "https://"+at(tt.port)+"/"); page != "a page" {
				t.Errorf("%s: the page is %q", name, page)
			}
			m.checkVerdict(t, name, "ok")
		}
	}
}

// checkVerdict wants the next flow to be inspected, with this verdict.
func (m *mitm) checkVerdict(t *testing.T, name, verdict string) {
	t.Helper()
	if f := m.flow(t); f.Action != "inspect" || f.TLS == nil || f.TLS.Certificate.Verdict != verdict {
		t.Errorf("%s: flow %+v, %+v, want verdict %s", name, f, f.TLS, verdict)
	}
}
