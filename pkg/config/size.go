package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, above 0.
type Size int64

// sizeUnits are the units of IEC 80000-13.
var sizeUnits = map[string]int64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

// Decode reads a whole number of bytes, KiB, MiB or GiB, as in 25MiB or 26214400;
// envconfig calls it.
func (s *Size) Decode(value string) error {
	digits := strings.TrimRight(value, "KMGiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit, ok := sizeUnits[value[len(digits):]]
	if err != nil || !ok || n <= 0 || n > math.MaxInt64/unit {
		return errors.New("want a size above 0 such as 25MiB")
	}
	*s = Size(n * unit)
	return nil
}
