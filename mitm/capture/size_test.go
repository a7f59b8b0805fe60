package capture

import (
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"1": 1, "1500": 1500, "7B": 7,
		"100MB": 100e6, "100MiB": 100 << 20, "10GB": 10e9, "10GiB": 10 << 30, "1TB": 1e12, "2TiB": 2 << 40,
		"64kB": 64e3, "64KB": 64e3, "64kb": 64e3, "64KiB": 64 << 10, "64kib": 64 << 10,
		"1.5GB": 15e8, "0.5kB": 500,
	} {
		if got, err := ParseSize(s); got != want || err != nil {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "MB", "0", "0MB", "-1", "-5MB", "1XB", "1h", "1 MB", "1e3", "NaN", "Inf", "0x10", "1_000", "9e99GB", "9999999999TB", "1MBMB", "."} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", s, got)
		}
	}
}

func TestParseRotation(t *testing.T) {
	for s, want := range map[string]Rotation{
		"off":         {Every: -1},
		"1h":          {Every: time.Hour},
		"100MB":       {Every: -1, Size: 100e6},
		"1h,100MB":    {Every: time.Hour, Size: 100e6},
		"1MiB,1m30s":  {Every: 90 * time.Second, Size: 1 << 20},
		"24h,1000000": {Every: 24 * time.Hour, Size: 1e6},
	} {
		if got, err := ParseRotation(s); got != want || err != nil {
			t.Errorf("ParseRotation(%q) = %+v, %v, want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"", ",", "1h,", "1h,2h", "1MB,2MB", "1ms", "-1h", "0", "0s", "off,1h", "hourly"} {
		if got, err := ParseRotation(s); err == nil {
			t.Errorf("ParseRotation(%q) = %+v, want an error", s, got)
		}
	}
}
