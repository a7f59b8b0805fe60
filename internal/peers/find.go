package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages says which Debian package has a program. scripts/install-peers has the
// same list, and a test compares them.
var packages = map[string]string{
	"capinfos":                "wireshark-common",
	"certutil":                "libnss3-tools",
	"chromium-headless-shell": "chromium-headless-shell",
	"curl":                    "curl",
	"danted":                  "dante-server",
	"dbclient":                "dropbear-bin",
	"dovecot":                 "dovecot-core",
	"dropbear":                "dropbear-bin",
	"gnutls-cli":              "gnutls-bin",
	"h2load":                  "nghttp2-client",
	"haproxy":                 "haproxy",
	"ip":                      "iproute2",
	"iptables":                "iptables",
	"microsocks":              "microsocks",
	"nft":                     "nftables",
	"nginx":                   "nginx-light",
	"node":                    "nodejs",
	"openssl":                 "openssl",
	"psql":                    "postgresql-client",
	"socat":                   "socat",
	"socksify":                "dante-client",
	"squid":                   "squid-openssl",
	"ssh":                     "openssh-client",
	"tcpdump":                 "tcpdump",
	"tinyproxy":               "tinyproxy",
	"tor":                     "tor",
	"tor-resolve":             "tor",
	"tshark":                  "tshark",
	"wget":                    "wget",
}

// find returns where a program is. Servers live in folders that only root has in
// its PATH. A name with a slash is taken as it is.
func find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if file, err := exec.LookPath(name); err == nil {
		return file, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	if pkg, ok := packages[name]; ok {
		return "", fmt.Errorf("find %s: not installed: run scripts/install-peers, or apt-get install %s", name, pkg)
	}
	return "", fmt.Errorf("find %s: not installed", name)
}
