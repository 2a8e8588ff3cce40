package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
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
	lowest, highest       float64 // ratio of a turn; 0 for none
	rates, bounds         []float64
	bar                   string // "" for none
	met                   bool
	note                  string // why there is no figure, or what else to know
}

// atLeast compares rates: ours must reach the share bar of the yardstick's, in the
// median of the turns. A bar of 0 is none.
func atLeast(work string, ours, yardstick []float64, bar float64, unit string) line {
	l := line{
		work: work, rates: ours, bounds: yardstick,
		ours: fmt.Sprintf("%.0f %s", median(ours), unit), yardstick: fmt.Sprintf("%.0f %s", median(yardstick), unit),
	}
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / yardstick[i]
	}
	l.ratio, l.lowest, l.highest = median(ratios), slices.Min(ratios), slices.Max(ratios)
	if bar > 0 {
		l.bar, l.met = fmt.Sprintf("≥ %.2f", bar), l.ratio >= bar
	}
	return l
}

// verdict says whether the bar is met.
func (l line) verdict() string {
	switch {
	case l.ours == "":
		return "not measured"
	case l.bar != "" && l.met:
		return "yes"
	case l.bar != "":
		return "no"
	}
	return ""
}

func printTable(w io.Writer, lines []line) {
	fmt.Fprintf(w, "%d cores, %s/%s, %s\n\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, time.Now().Format(time.DateOnly))
	fmt.Fprintln(w, "| work | ours | yardstick | ratio (turns) | bar | met? |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|")
	for _, l := range lines {
		met, ratio := l.verdict(), "–"
		if met == "no" {
			met = "**no**"
		}
		if l.ratio != 0 {
			ratio = fmt.Sprintf("%.2f", l.ratio)
		}
		if l.highest != 0 {
			ratio += fmt.Sprintf(" (%.2f to %.2f)", l.lowest, l.highest)
		}
		if l.note != "" {
			met = strings.TrimPrefix(met+"; "+strings.ReplaceAll(l.note, "\n", " "), "; ")
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", l.work, orDash(l.ours), orDash(l.yardstick), ratio, orDash(l.bar), orDash(met))
	}
	printMissed(w, lines)
}

// printMissed names the bars that were not reached.
func printMissed(w io.Writer, lines []line) {
	var missed []string
	for _, l := range lines {
		if v := l.verdict(); v == "no" || v == "not measured" {
			missed = append(missed, "- "+l.work+": "+v)
		}
	}
	if len(missed) == 0 {
		fmt.Fprintln(w, "\nEvery bar is met.")
		return
	}
	fmt.Fprintf(w, "\nNot met:\n\n%s\n", strings.Join(missed, "\n"))
}

// result is a line as JSON. Rates and Yardsticks have the turns in their order.
type result struct {
	Work       string    `json:"work"`
	Ours       string    `json:"ours,omitempty"`
	Yardstick  string    `json:"yardstick,omitempty"`
	Ratio      float64   `json:"ratio,omitempty"`
	Lowest     float64   `json:"lowest_ratio,omitempty"`
	Highest    float64   `json:"highest_ratio,omitempty"`
	Rates      []float64 `json:"rates,omitempty"`
	Yardsticks []float64 `json:"yardstick_rates,omitempty"`
	Bar        string    `json:"bar,omitempty"`
	Met        string    `json:"met,omitempty"` // yes, no or not measured; absent without a bar
	Note       string    `json:"note,omitempty"`
}

// writeJSON writes the lines to a file.
func writeJSON(file string, lines []line) error {
	all := struct {
		At    time.Time `json:"at"`
		Cores int       `json:"cores"`
		Rows  []result  `json:"rows"`
	}{At: time.Now().UTC(), Cores: runtime.NumCPU()}
	for _, l := range lines {
		all.Rows = append(all.Rows, result{
			Work: l.work, Ours: l.ours, Yardstick: l.yardstick, Ratio: finite(l.ratio), Lowest: finite(l.lowest), Highest: finite(l.highest),
			Rates: l.rates, Yardsticks: l.bounds, Bar: l.bar, Met: l.verdict(), Note: l.note,
		})
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644) //nolint:gosec // figures are no secret
}

// finite is 0 for what JSON can't express.
func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
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
