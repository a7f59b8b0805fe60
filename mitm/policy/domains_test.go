package policy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// naive is what domains is, in the obvious way.
type naive map[string]uint32

func (n naive) lowest(name string) (lowest uint32, ok bool) {
	for own, value := range n {
		if (own == name || strings.HasSuffix(name, "."+own)) && (!ok || value < lowest) {
			lowest, ok = value, true
		}
	}
	return lowest, ok
}

func (n naive) listed(name string) bool {
	for at := name; ; {
		said, yes, no := n[at], below, exceptBelow
		if at == name {
			yes, no = itself, exceptSelf
		}
		if said&(yes|no) != 0 {
			return said&no == 0
		}
		_, above, more := strings.Cut(at, ".")
		if !more {
			return false
		}
		at = above
	}
}

// randomName is one of few labels, so that names repeat and lie below each other.
func randomName(r *rand.Rand) string {
	labels := make([]string, 1+r.IntN(5))
	for i := range labels {
		labels[i] = []string{"a", "b", "aa", "com", "example"}[r.IntN(5)]
	}
	return strings.Join(labels, ".")
}

func TestDomainsAgainstTheNaiveWay(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		numbers, numbered := newDomains(), naive{}
		list, listed := newDomains(), naive{}
		for i := range r.IntN(100) {
			name := randomName(r)
			numbers.add(name, func(old uint32) uint32 { return max(old, uint32(i+1)) })
			numbered[name] = uint32(i + 1)
			said := uint32(r.IntN(16))
			list.say(name, said)
			listed[name] |= said
		}
		for range 200 {
			name := randomName(r)
			got, ok := numbers.lowest(name)
			if want, has := numbered.lowest(name); got != want || ok != has {
				t.Fatalf("seed %d: lowest(%q) = %d, %v, want %d, %v of %v", seed, name, got, ok, want, has, numbered)
			}
			if by, got := list.listed(name); got != listed.listed(name) || got && listed[by] == 0 {
				t.Fatalf("seed %d: listed(%q) = %q, %v of %v", seed, name, by, got, listed)
			}
		}
	}
}

func TestNamesInDomains(t *testing.T) {
	d := newDomains()
	long := strings.Repeat("a.", 126) + "b" // 253 bytes
	for _, name := range []string{"example.com", "b", long} {
		d.say(name, itself|below)
	}
	for name, want := range map[string]bool{
		"example.com": true, "www.example.com": true, "xexample.com": false, "com": false, "": false, ".": false,
		"example.com.": false, ".example.com": true, "example..com": false, "b": true, "a.b": true, long: true,
		"x." + long: true, strings.Repeat("x.", 100) + "example.com": true, "b.x": false,
	} {
		if _, got := d.listed(name); got != want {
			t.Errorf("listed(%q) = %v, want %v", name, got, want)
		}
	}
	if _, ok := newDomains().listed("example.com"); ok {
		t.Error("listed by nothing")
	}
}

// FuzzDomains holds that names of a list are found as the naive way finds them.
func FuzzDomains(f *testing.F) {
	f.Add("example.com,b,a.b", "www.example.com")
	f.Add("a,a.a,a.a.a", "a.a.a.a")
	f.Fuzz(func(t *testing.T, names, name string) {
		d, n := newDomains(), naive{}
		for i, own := range strings.Split(names, ",") {
			if isDomainName(own) {
				what := []uint32{itself, below, itself | below, exceptSelf, exceptBelow}[i%5]
				d.say(own, what)
				n[own] |= what
			}
		}
		if _, got := d.listed(name); got != n.listed(name) {
			t.Errorf("listed(%q) = %v of %v", name, got, n)
		}
	})
}

// listOf is a list of n names that are as long as names are.
func listOf(n int) []byte {
	var b bytes.Buffer
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		fmt.Fprintf(&b, "%s-%d.%s.com\n", []string{"www", "cdn", "static", "login"}[r.IntN(4)], i, base36(r.Uint64()))
	}
	return b.Bytes()
}

func base36(n uint64) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	var b [8]byte
	for i := range b {
		b[i] = digits[n%36]
		n /= 36
	}
	return string(b[:])
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A list takes little more memory than its text, and no allocation to look a name up. The benchmark does it with a million.
func TestTheSizeOfALargeList(t *testing.T) {
	const names = 50_000
	text := listOf(names)
	before := heap()
	d, err := parseList("domainlist", bytes.NewReader(text))
	if err != nil || d.count != names {
		t.Fatalf("%d names, error %v", d.count, err)
	}
	if held := heap() - before; held > 5<<20 {
		t.Errorf("%d names take %d KB, want 5 MB at most", names, held>>10)
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	name := "a." + string(first)
	if allocs := testing.AllocsPerRun(100, func() {
		if _, ok := d.listed(name); !ok {
			t.Errorf("%q is not listed", name)
		}
	}); allocs != 0 {
		t.Errorf("a look-up allocates %v times", allocs)
	}
}

func BenchmarkDomains(b *testing.B) {
	text := listOf(1_000_000)
	b.Run("load/names=1000000", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(text)))
		before := heap()
		var d *domains
		for b.Loop() {
			d, _ = parseList("domainlist", bytes.NewReader(text))
		}
		b.ReportMetric(float64(heap()-before)/1e6, "MB")
		runtime.KeepAlive(d)
	})
	d, err := parseList("domainlist", bytes.NewReader(text))
	if err != nil {
		b.Fatal(err)
	}
	var there, absent []string
	for i, line := range strings.Fields(string(text)) {
		if i%1000 == 0 {
			there = append(there, "a.b."+line)
			absent = append(absent, "a.b."+line+".invalid")
		}
	}
	for name, names := range map[string][]string{"listed": there, "absent": absent} {
		b.Run("lookup/names=1000000/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, ok := d.listed(names[i%len(names)]); ok != (name == "listed") {
					b.Fatal(names[i%len(names)])
				}
			}
		})
	}
	b.Run("decide/rules=10000", func(b *testing.B) {
		s := &ruleset{otherwise: outcome{action: Inspect}, failures: newFailures()}
		for i := range 10_000 {
			s.rules = append(s.rules, rule{active: true, description: "x", matcher: matchDomain{name: there[i%len(there)]}})
		}
		s.index()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s.decide(&query{Facts: Facts{SNI: absent[i%len(absent)]}, failures: s.failures})
		}
	})
}
