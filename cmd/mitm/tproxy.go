package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os/signal"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/tproxy"
)

const tproxyHelp = `Has the Linux kernel bring connections to mitm --transparent whose clients know
nothing of it: by nftables rules (the one table inet mitm), the routes that TPROXY
needs, and forwarding for what is left alone. print shows all of it, as a script for
a shell, and needs no rights; up does what is missing of it, and shows what it does;
down takes it back, also after a crash. up and down may run twice.

Without --uid and --cgroup it is about connections of other hosts, which this host
routes; --interface says where they come in. Connections of mitm itself (--mark), and
those to this host's own addresses, are left alone, and so are connections that are
older than the rules.

--fail says what becomes of connections while nobody listens, until down: closed
refuses them; open lets those of other hosts through where it can, which is with
TPROXY. While a mitm --with-tproxy runs, up is refused, and down takes its rules away.`

const tproxyExamples = `  mitm tproxy print --transparent tproxy --to 8080
  mitm tproxy up --transparent redirect --to 8080 --ports 80,443 --interface eth1
  mitm tproxy up --transparent redirect --to 8080 --uid alice
  mitm tproxy down`

func newTProxy(s streams) *cobra.Command {
	var rules tproxy.Rules
	var nftOnly bool
	cmd := &cobra.Command{
		Use:     "tproxy print|up|down",
		Short:   "the kernel's rules for transparent mode (Linux)",
		Long:    tproxyHelp,
		Example: tproxyExamples,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return usage("tproxy: want print, up or down") },
	}
	f := cmd.PersistentFlags()
	f.SortFlags, cmd.Flags().SortFlags = false, false
	tproxyOptions(f, &rules)
	printer := &cobra.Command{
		Use:   "print",
		Short: "show the commands, as a script",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := checkRules(rules); err != nil {
				return err
			}
			text := rules.Commands()
			if nftOnly {
				text = rules.Script()
			}
			_, err := fmt.Fprint(s.out, text)
			return failed(err)
		},
	}
	printer.Flags().BoolVar(&nftOnly, "nft", false, "only the rules, for nft -f -")
	show := func(line string) { fmt.Fprintln(s.out, line) }
	// What is begun is done, also when nobody reads what it was.
	unread := func(*cobra.Command, []string) { signal.Ignore(syscall.SIGPIPE) }
	cmd.AddCommand(printer,
		&cobra.Command{
			Use:    "up",
			Short:  "put up the rules, and show the commands",
			Args:   cobra.NoArgs,
			PreRun: unread,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if err := checkRules(rules); err != nil {
					return err
				}
				return failed(rules.Apply(cmd.Context(), show))
			},
		},
		&cobra.Command{
			Use:    "down",
			Short:  "take away what up has added, whatever the flags are",
			Args:   cobra.NoArgs,
			PreRun: unread,
			RunE: func(cmd *cobra.Command, _ []string) error {
				held, err := tproxy.Down(cmd.Context(), show)
				if held {
					fmt.Fprintln(s.err, "mitm: these were the rules of a mitm that runs: nothing new comes to it until it is started again")
				}
				return failed(err)
			},
		})
	return cmd
}

func checkRules(rules tproxy.Rules) error {
	if err := rules.Check(); err != nil {
		return usage("%w", err)
	}
	return nil
}

// tproxyOptions defines the flags that are fields of the kernel's rules.
func tproxyOptions(f *pflag.FlagSet, r *tproxy.Rules) {
	*r = tproxy.Rules{Mode: tproxy.TPROXY, Port: 8080}
	add(f, "transparent", "redirect|tproxy", "how connections are brought: by NAT, or to a transparent socket (default tproxy)",
		oneOf(&r.Mode, map[string]tproxy.Mode{"redirect": tproxy.Redirect, "tproxy": tproxy.TPROXY}, "redirect or tproxy"))
	add(f, "to", "PORT", "the port that mitm listens on (default 8080)", number(16, "a port", func(n uint64) { r.Port = uint16(n) }))
	add(f, "mark", "N", fmt.Sprintf("SO_MARK of mitm's own connections, which are left alone (default %#x)", tproxy.DefaultMark),
		number(32, "a number from 1", func(n uint64) { r.Mark = uint32(n) }))
	add(f, "usesrc", "client|clientip|ADDR", "as mitm's own --usesrc: answers to addresses that are not ours must come here", func(v string) error {
		source, _, err := parseSource(v)
		r.ForeignSource = source != mitm.SourceOwn
		return err
	})
	choiceOptions(f, r)
	add(f, "fail", "open|closed", "let through what would be brought while nobody listens, where the kernel can, or refuse it (default open)",
		oneOf(&r.FailClosed, map[string]bool{"open": false, "closed": true}, "open or closed"))
}

// choiceOptions defines the flags that choose connections.
func choiceOptions(f *pflag.FlagSet, r *tproxy.Rules) {
	add(f, "ports", "PORT,...", "destination ports, and ranges like 8000-8100 (default: all; repeatable)", func(v string) error {
		ports, err := tproxy.ParsePorts(v)
		r.Ports = append(r.Ports, ports...)
		return err
	})
	add(f, "interface", "NAME,...", "where connections of other hosts come in (default: anywhere; repeatable)", words(&r.Interfaces))
	add(f, "exclude", "CIDR,...", "destinations that are left alone (repeatable)", appendPrefixes(&r.Exclude))
	add(f, "uid", "USER,...", "bring this host's connections of these users too, by name or number; of other hosts only those by --interface then (repeatable)", func(v string) error {
		for name := range strings.SplitSeq(v, ",") {
			uid, err := lookupUser(name)
			if err != nil {
				return err
			}
			r.Users = append(r.Users, uid)
		}
		return nil
	})
	add(f, "cgroup", "PATH,...", "the same for control groups: paths below /sys/fs/cgroup, like system.slice/a.service (repeatable)", words(&r.Cgroups))
	add(f, "family", "ipv4|ipv6|both", "only one version of IP (default both)",
		oneOf(&r.Family, map[string]tproxy.Family{"ipv4": tproxy.IPv4, "ipv6": tproxy.IPv6, "both": 0}, "ipv4, ipv6 or both"))
	f.BoolVar(&r.KeepForwarding, "keep-forwarding", false, "leave it as it is whether this host forwards what is left alone")
}

func words(to *[]string) func(string) error {
	return func(v string) error {
		*to = append(*to, strings.Split(v, ",")...)
		return nil
	}
}

func number(bits int, want string, set func(uint64)) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseUint(v, 0, bits)
		if err != nil || n == 0 {
			return errors.New("want " + want)
		}
		set(n)
		return nil
	}
}

func lookupUser(name string) (uint32, error) {
	text := name
	if u, err := user.Lookup(name); err == nil {
		text = u.Uid
	}
	uid, err := strconv.ParseUint(text, 10, 32)
	if err != nil || uid == 1<<32-1 { // (uid_t)-1 is nobody's
		return 0, fmt.Errorf("%q: there is no such user", name)
	}
	return uint32(uid), nil
}

// arguments are the flags that make rules: the other way round from tproxyOptions.
func arguments(r tproxy.Rules) string {
	words := []string{"--transparent", r.Mode.String(), "--to", strconv.Itoa(int(r.Port))}
	flag := func(name string, values ...string) {
		if len(values) > 0 {
			words = append(words, "--"+name, strings.Join(values, ","))
		}
	}
	if r.Mark != 0 {
		flag("mark", fmt.Sprintf("%#x", r.Mark))
	}
	if r.ForeignSource {
		flag("usesrc", "clientip")
	}
	flag("ports", texts(r.Ports, tproxy.PortRange.String)...)
	flag("interface", r.Interfaces...)
	flag("exclude", texts(r.Exclude, netip.Prefix.String)...)
	flag("uid", texts(r.Users, func(uid uint32) string { return strconv.FormatUint(uint64(uid), 10) })...)
	flag("cgroup", r.Cgroups...)
	switch r.Family {
	case tproxy.IPv4:
		flag("family", "ipv4")
	case tproxy.IPv6:
		flag("family", "ipv6")
	}
	if r.FailClosed {
		flag("fail", "closed")
	}
	if r.KeepForwarding {
		words = append(words, "--keep-forwarding")
	}
	return strings.Join(words, " ")
}

func texts[T any](values []T, text func(T) string) []string {
	var all []string
	for _, v := range values {
		all = append(all, text(v))
	}
	return all
}
