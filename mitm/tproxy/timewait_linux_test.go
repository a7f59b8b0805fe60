package tproxy

import (
	"testing"
)

func TestWhatIsForgottenHasNoAddressOfThisHost(t *testing.T) {
	for _, tt := range []struct{ name, routes, want string }{
		{"no route", `[]`, ""},
		{
			"addresses and a prefix", `[{"dst":"192.0.2.1","dev":"eth0","table":"local","prefsrc":"192.0.2.1","flags":[]},{"dst":"127.0.0.0/8","dev":"lo","table":"local"}]`,
			" not src 192.0.2.1/32 not src 127.0.0.0/8",
		},
		{"an address of IPv6", `[{"dst":"2001:db8::1","dev":"eth0","table":"local","metric":0}]`, " not src [2001:db8::1/128]"},
		{"a route by which all are local", `[{"dst":"default","dev":"lo","table":"100"},{"dst":"::1","dev":"lo"}]`, " not src [::1/128]"},
	} {
		local, err := parseLocal([]byte(tt.routes))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := forgetting(local).String(); got != "ss -Htn -K state time-wait"+tt.want {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
	for _, routes := range []string{``, `[{"dst":"x"}]`, `[{}]`, `{`} {
		if local, err := parseLocal([]byte(routes)); err == nil || local != nil {
			t.Errorf("parseLocal(%s) = %v, %v", routes, local, err)
		}
	}
}
