package detect_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

// flight is what a real program said first. The README of testdata tells which, and testdata/capture has it said again.
type flight struct {
	kind     string // the folder of testdata: "flights", "banners" or "datagrams"
	protocol string
	program  string
	b        []byte
}

func (f flight) String() string { return f.kind + "/" + f.protocol + "/" + f.program }

// family are the detectors that flights of a kind are shown to.
func (f flight) family() []detect.Detector {
	names := map[string]string{"flights": "clients", "banners": "servers", "datagrams": "datagrams"}
	return families()[names[f.kind]]
}

// flights reads the samples that were captured, in the order of their names. ClientHellos have a folder of their own. All are
// among the openings, on which the detectors are held to the laws and to the table of collisions.
func flights(t testing.TB) []flight {
	t.Helper()
	var all []flight
	for _, kind := range []string{"banners", "datagrams", "flights"} {
		files, err := filepath.Glob("../testdata/" + kind + "/*/*.bin")
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s in testdata: %v", kind, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			folder, program := filepath.Split(file)
			all = append(all, flight{kind, filepath.Base(folder), strings.TrimSuffix(program, ".bin"), b})
		}
	}
	for name, b := range hellos(t) {
		all = append(all, flight{"flights", "tls", name, b})
	}
	slices.SortFunc(all, func(a, b flight) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// unnamed are greetings that do not say of which protocol they are; what the client says next does.
var unnamed = map[string]string{
	"banners/ftp/vsftpd_banner": "220",  // a text of the administrator's
	"banners/ftp/vsftpd_lines":  "220",  // another, in two lines
	"banners/lmtp/aiosmtpd":     "smtp", // the greeting of its SMTP server, word for word
	"banners/lmtp/dovecot":      "220",
	"banners/lmtp/mailutils":    "220",
	"banners/smtp/twisted":      "220",
}

func TestFlightsAreIdentified(t *testing.T) {
	const golden = "../testdata/flights/verdicts.txt"
	var got bytes.Buffer
	for _, f := range flights(t) {
		v := detect.Identify(detect.Input{Client: f.b, Server: f.b}, f.family()...)
		want := f.protocol
		if name := unnamed[f.String()]; name != "" {
			want = name
		}
		if v.Kind != detect.Match || v.Info.Protocol != want {
			t.Errorf("%s: Identify(%q) = %v %+v, want a match of %s", f, f.b, v.Kind, v.Info, want)
			continue
		}
		fmt.Fprintf(&got, "%-36s %s\n", f, sayings(*v.Info))
	}
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.Split(string(want), "\n")
	for i, line := range strings.Split(got.String(), "\n") {
		if i >= len(wanted) || line != wanted[i] {
			t.Fatalf("line %d of the verdicts is %s\nand differs from the golden's", i+1, line)
		}
	}
	if got.String() != string(want) {
		t.Errorf("the golden has more verdicts than there are flights")
	}
}

// sayings is all that an Info says, without what it does not.
func sayings(i detect.Info) string {
	out := i.Protocol
	say := func(key, value string) {
		if value != "" {
			out += " " + key + "=" + strconv.Quote(value)
		}
	}
	say("version", i.Version)
	say("verb", i.Verb)
	say("host", i.Host)
	if i.Port != 0 {
		say("port", strconv.Itoa(int(i.Port)))
	}
	say("alpn", strings.Join(i.ALPN, ","))
	say("user", i.User)
	say("database", i.Database)
	say("path", i.Path)
	say("software", i.Software)
	if i.Src.IsValid() {
		say("src", i.Src.String())
		say("dst", i.Dst.String())
	}
	return out
}

// fewer are the folders that cannot have three samples of different programs, and why.
var fewer = map[string]struct {
	samples int
	why     string
}{
	"flights/adb":         {2, "Debian has one program that speaks it, and the protocol names one beginning"},
	"flights/jdwp":        {2, "the handshake is 14 bytes that never differ"},
	"datagrams/wireguard": {2, "the initiation has a fixed length, and all but four bytes look random"},
}

func TestEveryProtocolHasFlightsOfSeveralPrograms(t *testing.T) {
	const enough, enoughBanners = 3, 1
	count := map[string]int{}
	for _, f := range flights(t) {
		count[f.kind+"/"+f.protocol]++
	}
	for folder, n := range count {
		want := enough
		if strings.HasPrefix(folder, "banners/") {
			want = enoughBanners
		}
		if few, ok := fewer[folder]; ok {
			if want = few.samples; n >= enough {
				t.Errorf("%s has %d flights and is excused from that: %s", folder, n, few.why)
			}
		}
		if n < want {
			t.Errorf("%s has %d flights, want %d", folder, n, want)
		}
	}
}

func TestEveryDetectorIsChosenForAFlight(t *testing.T) {
	chosen := map[string]bool{}
	for _, f := range flights(t) {
		family := f.family()
		if i, _ := detect.Choose(detect.Input{Client: f.b, Server: f.b}, family); i >= 0 {
			chosen[family[i].Name] = true
		}
	}
	for name, family := range families() {
		for _, d := range family {
			if !chosen[d.Name] {
				t.Errorf("no flight is for %s, of the %s", d.Name, name)
			}
		}
	}
}

func TestFlightsTellNothingOfWhereTheyWereTaken(t *testing.T) {
	for _, f := range flights(t) {
		for _, tell := range []string{"/root", "/home", "/tmp", "localdomain", ".internal"} {
			if bytes.Contains(f.b, []byte(tell)) {
				t.Errorf("%s holds %q", f, tell)
			}
		}
		if len(f.b) > 8<<10 {
			t.Errorf("%s has %d bytes", f, len(f.b))
		}
	}
}
