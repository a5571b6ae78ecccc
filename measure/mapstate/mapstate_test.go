package mapstate

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEncode(t *testing.T) {
	got, cookies, err := Encode("u32:1 be16:80 ip:10.0.0.1 mac:02:00:00:00:00:07 pad:2 hex:ff u8:0x10 cookie:1 u16:-2")
	want := []byte{1, 0, 0, 0, 0, 80, 10, 0, 0, 1, 2, 0, 0, 0, 0, 7, 0, 0, 0xff, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff}
	if err != nil || !bytes.Equal(got, want) || fmt.Sprint(cookies) != "[{20 1}]" {
		t.Errorf("% x, %v, %v", got, cookies, err)
	}
	for _, bad := range []string{"5", "u32:x", "u8:256", "ip:1.2.3", "pad:100000", "f32:1", "cookie:x", "hex:f"} {
		if b, _, err := Encode(bad); err == nil {
			t.Errorf("%q gives % x", bad, b)
		}
	}
}

func TestCookiesAreResolved(t *testing.T) {
	s, err := Parse([]byte(`maps: [{name: m, entries: [{key: "cookie:0 u8:1", value: "u8:2"}, {key: "u8:1", value: "cookie:3"}]}]`), "")
	if err != nil {
		t.Fatal(err)
	}
	k, v, err := s[0].Entries[0].Resolve([]uint64{0x0102})
	if err != nil || !bytes.Equal(k, []byte{2, 1, 0, 0, 0, 0, 0, 0, 1}) || !bytes.Equal(v, []byte{2}) {
		t.Errorf("% x, % x, %v", k, v, err)
	}
	if _, _, err := s[0].Entries[1].Resolve([]uint64{1}); err == nil {
		t.Error("a socket that is not there was resolved")
	}
}

func TestReadDump(t *testing.T) {
	got, err := ReadDump(strings.NewReader(`[{"key":["0x01","0x00"],"value":["0xff","0x02"],"formatted":{"key":1,"value":767}},
		{"key":["0x02","0x00"],"values":[{"cpu":0,"value":["0x0a"]},{"cpu":1,"value":["0x0b"]}]}]`))
	if err != nil || len(got) != 2 || !bytes.Equal(got[0].Key, []byte{1, 0}) || !bytes.Equal(got[0].Value, []byte{0xff, 2}) || !bytes.Equal(got[1].Value, []byte{10, 11}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "{}", "[", `[{"key":["0x100"],"value":["0"]}]`, `[{"key":["1"]}]`, `[{"value":["1"]}]`, `[{"key":["x"],"value":["1"]}]`, `[1]`,
		`[{"key":["1"],"values":[{"cpu":1,"value":["1"]}]}]`} {
		if got, err := ReadDump(strings.NewReader(bad)); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

func TestReadFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml":    "maps:\n  - name: one\n    entries:\n      - {key: \"u8:1\", value: \"u8:2\"}\n  - {name: two, dump: two.json}\n",
		"two.json":  `[{"key":["0x3"],"value":["0x4"]}]`,
		"bad.yaml":  "maps:\n  - {name: one, keys: []}\n",
		"none.yaml": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	got, err := ReadFiles([]string{in("a.yaml"), "three=" + in("two.json")})
	if err != nil || fmt.Sprint(got) != "[{one [{[1] [2] [] []}]} {two [{[3] [4] [] []}]} {three [{[3] [4] [] []}]}]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{in("bad.yaml"), in("none.yaml"), in("two.json"), in("missing"), "m=" + in("missing"), "m=" + in("a.yaml")} {
		if got, err := ReadFiles([]string{bad}); err == nil {
			t.Errorf("%s gave %v", bad, got)
		}
	}
}
