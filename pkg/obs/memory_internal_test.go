package obs

import "testing"

func TestSmallHeapGrowsToASizeAndALargerOneByAShare(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 400}, {1 << 20, 400}, {4 << 20, 300}, {8 << 20, 100}, {11 << 20, 45}, {13 << 20, 30}, {16 << 20, 30}, {31 << 20, 30}, {32 << 20, 150}, {48 << 20, 100}, {96 << 20, 50}, {1 << 30, 50},
	} {
		if got := gcPercent(16<<20, c.live); got != c.want {
			t.Errorf("%d bytes in use: grows by %d %%, want %d", c.live, got, c.want)
		}
	}
}
