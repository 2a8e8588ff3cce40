package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"
)

// line is one row of the table. The bar is on the ratio, or on the figure
// itself where there is no yardstick.
type line struct {
	work, ours, yardstick string
	ratio                 float64 // 0 for none
	bar                   string  // "" for none
	met                   bool
	note                  string // why there is no figure, or what else to know
}

// atLeast compares rates: ours must reach the share bar of the yardstick's.
// A bar of 0 is none.
func atLeast(work string, ours, yardstick []float64, bar float64, unit string) line {
	a, b := median(ours), median(yardstick)
	l := line{work: work, ours: fmt.Sprintf("%.0f %s", a, unit), yardstick: fmt.Sprintf("%.0f %s", b, unit), ratio: a / b}
	if bar > 0 {
		l.bar, l.met = fmt.Sprintf("≥ %.2f", bar), l.ratio >= bar
	}
	return l
}

func printTable(w io.Writer, lines []line) {
	fmt.Fprintf(w, "%d cores, %s/%s, %s\n\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, time.Now().Format(time.DateOnly))
	fmt.Fprintln(w, "| work | ours | yardstick | ratio | bar | met? |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|")
	for _, l := range lines {
		met, ratio := "", "–"
		switch {
		case l.ours == "":
			met = "not measured"
		case l.bar != "" && l.met:
			met = "yes"
		case l.bar != "":
			met = "**no**"
		}
		if l.ratio != 0 {
			ratio = fmt.Sprintf("%.2f", l.ratio)
		}
		if l.note != "" {
			met = strings.TrimPrefix(met+"; "+strings.ReplaceAll(l.note, "\n", " "), "; ")
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", l.work, orDash(l.ours), orDash(l.yardstick), ratio, orDash(l.bar), orDash(met))
	}
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile returns the nearest-rank quantile, NaN of no values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
