package measure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecordsAreWrittenOnceAndWhole(t *testing.T) {
	log := Log{t.TempDir()}
	type result struct{ Nanos []float64 }
	const key = "../odd name/xdp1:a"
	r, err := NewRecord("latency", key, 7, CurrentEnv(), result{[]float64{1.5, 2}}, Subject{Name: "xdp1", Hash: "beef"})
	if err != nil {
		t.Fatal(err)
	}
	if log.Has("latency", key) {
		t.Error("there before it was written")
	}
	if err := log.Write(r, r); err != nil {
		t.Fatal(err)
	}
	if err := log.Write(r); err == nil {
		t.Error("a record was replaced")
	}
	if !log.Has("latency", key) {
		t.Error("not there after it was written")
	}
	back, err := log.Read("latency")
	if err != nil || len(back) != 2 {
		t.Fatalf("%d records, %v", len(back), err)
	}
	var got result
	if err := back[1].Decode(&got); err != nil || len(got.Nanos) != 2 || got.Nanos[0] != 1.5 || back[1].Programs[0].Hash != "beef" || back[1].Key != key {
		t.Errorf("read %+v, %+v, %v", back[1], got, err)
	}
	filepath.WalkDir(log.Dir, func(p string, e os.DirEntry, err error) error {
		if strings.Contains(e.Name(), ".tmp-") {
			t.Errorf("%s is left", p)
		}
		return nil
	})
	if err := log.Remove("latency", key); err != nil || log.Has("latency", key) {
		t.Errorf("remove: %v", err)
	}
}

func TestBadRecords(t *testing.T) {
	for _, text := range []string{`{"version":1`, `{"version":99}`, `[]`, "\x00"} {
		if _, err := ReadRecords(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	// A line cut short by a full disk of old is an error, an empty file is not.
	if rs, err := ReadRecords(strings.NewReader("")); err != nil || len(rs) != 0 {
		t.Errorf("empty: %v, %v", rs, err)
	}
}

func TestVerdictText(t *testing.T) {
	for _, v := range []Verdict{Void, NoDifference, Faster, Slower} {
		b, _ := v.MarshalText()
		var back Verdict
		if err := back.UnmarshalText(b); err != nil || back != v {
			t.Errorf("%v became %v", v, back)
		}
	}
}
