package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/mitm/policy"
)

func TestParseBypassOnFail(t *testing.T) {
	for text, want := range map[string]struct {
		count  int
		period time.Duration
	}{
		"1:900":            {1, 15 * time.Minute},
		"3:3600":           {3, time.Hour},
		"1:15m":            {1, 15 * time.Minute},
		"2:1h30m":          {2, 90 * time.Minute},
		"1000000:31536000": {policy.MaxCount, 365 * 24 * time.Hour},
		"007:01":           {7, time.Second},
	} {
		count, period, off, err := policy.ParseBypassOnFail(text)
		if count != want.count || period != want.period || off || err != nil {
			t.Errorf("ParseBypassOnFail(%q) = %d, %v, %v, %v, want %d, %v", text, count, period, off, err, want.count, want.period)
		}
	}
	if count, period, off, err := policy.ParseBypassOnFail("off"); count != 0 || period != 0 || !off || err != nil {
		t.Errorf(`ParseBypassOnFail("off") = %d, %v, %v, %v, want off`, count, period, off, err)
	}
}

func TestWhatParseBypassOnFailRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                         `"": want COUNT:SECONDS like 1:900, or off`,
		"1":                        `"1": want COUNT:SECONDS like 1:900, or off`,
		"OFF":                      `"OFF": want COUNT:SECONDS like 1:900, or off`,
		":":                        `":": count "": want a number`,
		":900":                     `":900": count "": want a number`,
		"-1:900":                   `"-1:900": count "-1": want a number`,
		" 1:900":                   `" 1:900": count " 1": want a number`,
		"0:900":                    `"0:900": count "0": want at least 1, or off in the place of both`,
		"1000001:900":              `"1000001:900": count "1000001": want at most 1000000`,
		"99999999999999999999:900": `"99999999999999999999:900": count "99999999999999999999": want at most 1000000`,
		"1:":                       `"1:": seconds "": want a number, or a duration like 15m`,
		"1:off":                    `"1:off": seconds "off": want a number, or a duration like 15m`,
		"1:2:3":                    `"1:2:3": seconds "2:3": want a number, or a duration like 15m`,
		"1:1.5":                    `"1:1.5": seconds "1.5": want a number, or a duration like 15m`,
		"1:0":                      `"1:0": seconds "0": want at least 1, or off in the place of both`,
		"1:-5":                     `"1:-5": seconds "-5": want a number, or a duration like 15m`,
		"1:-5s":                    `"1:-5s": seconds "-5s": want at least 1, or off in the place of both`,
		"1:999ms":                  `"1:999ms": seconds "999ms": want at least 1, or off in the place of both`,
		"1:31536001":               `"1:31536001": seconds "31536001": want at most 31536000`,
		"1:99999999999999999999":   `"1:99999999999999999999": seconds "99999999999999999999": want at most 31536000`,
		"1:9000h":                  `"1:9000h": seconds "9000h": want at most 31536000`,
	} {
		count, period, off, err := policy.ParseBypassOnFail(text)
		if count != 0 || period != 0 || off || err == nil || err.Error() != want {
			t.Errorf("ParseBypassOnFail(%q) = %d, %v, %v, %v, want the error %s", text, count, period, off, err, want)
		}
	}
}

// FuzzParseBypassOnFail holds that what is accepted makes a Bypass and can be written and read again, and that an error
// is one line that shows what was wrong with which text.
func FuzzParseBypassOnFail(f *testing.F) {
	for _, text := range []string{"1:900", "off", "3:15m", "0:1", "1:0", ":", "9999999:1", "1:1e9", "1:1h\n", "1:9223372036854775807"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		count, period, off, err := policy.ParseBypassOnFail(text)
		switch {
		case err != nil:
			if count != 0 || period != 0 || off {
				t.Errorf("an error with the values %d, %v, %v", count, period, off)
			}
			if msg := err.Error(); !strings.HasPrefix(msg, fmt.Sprintf("%q: ", text)) || strings.ContainsAny(msg, "\n\r\x1b") {
				t.Errorf("error %q", msg)
			}
		case off:
			if text != "off" {
				t.Errorf("%q is off", text)
			}
		default:
			policy.NewBypass(count, period, 1)
			again := fmt.Sprintf("%d:%s", count, period)
			count2, period2, off2, err := policy.ParseBypassOnFail(again)
			if count2 != count || period2 != period || off2 || err != nil {
				t.Errorf("%q is %q, which is %d, %v, %v, %v", text, again, count2, period2, off2, err)
			}
		}
	})
}
