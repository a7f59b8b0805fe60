package capture

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// units are what a size may end with, by powers of 1000 and of 1024.
var units = map[string]int64{
	"": 1, "B": 1,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
}

// ParseSize parses a number of bytes, at least one: 100MB is 10^8, 100MiB is 100·2^20,
// and a number alone is one of bytes. The number may be a fraction, the unit in any case.
func ParseSize(s string) (int64, error) {
	unit := strings.TrimLeft(s, "0123456789.")
	number := strings.TrimSuffix(s, unit)
	factor, ok := units[strings.ToUpper(unit)]
	n, err := strconv.ParseFloat(number, 64)
	if bytes := n * float64(factor); ok && err == nil && bytes >= 1 && bytes < math.MaxInt64 {
		return int64(bytes), nil
	}
	return 0, errors.New("want a size like 100MB or 1GiB")
}

// ParseRotation parses when files end: by a time, a size or both, as in 1h,100MB; or off.
func ParseRotation(s string) (Rotation, error) {
	r := Rotation{Every: -1}
	if s == "off" {
		return r, nil
	}
	for item := range strings.SplitSeq(s, ",") {
		every, errTime := time.ParseDuration(item)
		size, errSize := ParseSize(item)
		switch {
		case errTime == nil && every >= time.Second && r.Every < 0:
			r.Every = every
		case errSize == nil && errTime != nil && r.Size == 0:
			r.Size = size
		default:
			return Rotation{}, errors.New("want a time of a second or more, a size or both, like 1h,100MB; or off")
		}
	}
	return r, nil
}
