package benchmarks

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
)

func TestEveryPaperProgramIsThere(t *testing.T) {
	rows, err := PaperSizes()
	if err != nil || len(rows) != 19 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	suite, err := Load("k2")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, b := range suite {
		have[b.Paper] = true
	}
	for _, r := range rows {
		if !have[r.Program] {
			t.Errorf("%s is missing", r.Program)
		}
	}
}

func TestEncode(t *testing.T) {
	got, err := Encode("u32:1 be16:80 ip:10.0.0.1 mac:02:00:00:00:00:07 pad:2 hex:ff u8:0x10")
	want := []byte{1, 0, 0, 0, 0, 80, 10, 0, 0, 1, 2, 0, 0, 0, 0, 7, 0, 0, 0xff, 0x10}
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("% x, %v", got, err)
	}
	for _, bad := range []string{"5", "u32:x", "ip:1.2.3", "pad:100000", "f32:1"} {
		if b, err := Encode(bad); err == nil {
			t.Errorf("%q gives % x", bad, b)
		}
	}
}

func TestAllCompile(t *testing.T) {
	if _, err := Clang(); errors.Is(err, ErrNoClang) {
		if os.Getenv("SUPERBPF_REQUIRE_KERNEL") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	all, err := Load("all")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		for _, cpu := range []string{"v1", "v2", "v3", "v4"} {
			if _, err := b.Compile(context.Background(), "O2", cpu); err != nil {
				t.Error(err)
			}
		}
	}
}
