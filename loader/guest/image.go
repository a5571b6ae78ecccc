package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
	"unicode"
)

// Image is a kernel to boot.
type Image struct {
	Release string
	// Kernel is the path of the bootable file, Modules those of the modules that
	// the port needs.
	Kernel  string
	Modules []string
}

// versionName is what Resolve takes.
var versionName = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?$`)

// CheckVersion reports whether s can name a kernel of a guest.
func CheckVersion(s string) error {
	if !versionName.MatchString(s) {
		return fmt.Errorf("%q is no kernel version: give two numbers as in 6.12, or three as in 6.12.107", s)
	}
	return nil
}

// CacheDir is where kernels are kept.
func CacheDir() (string, error) {
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder to keep kernels in: %w; set XDG_CACHE_HOME", err)
	}
	return filepath.Join(d, "superbpf", "kernels"), nil
}

// Cached lists the images at hand, newest first.
func Cached() ([]*Image, error) {
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "[0-9]*", "vmlinuz"))
	if err != nil {
		return nil, err
	}
	var out []*Image
	for _, f := range files {
		i := &Image{Release: filepath.Base(filepath.Dir(f)), Kernel: f}
		if i.Modules, err = filepath.Glob(filepath.Join(filepath.Dir(f), "*.ko*")); err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	sortNewest(out, func(i *Image) string { return i.Release })
	return out, nil
}

// Find returns the newest cached image of a version, nil for none.
func Find(version string) (*Image, error) {
	list, err := Cached()
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if ofVersion(i.Release, version) {
			return i, nil
		}
	}
	return nil, nil
}

// ofVersion reports whether a release belongs to a version: 6.1.0-56-cloud-amd64
// to 6.1, 6.12.107+deb12-cloud-amd64 to 6.12 and to 6.12.107.
func ofVersion(release, version string) bool {
	rest, ok := strings.CutPrefix(release, version)
	return ok && (rest == "" || !unicode.IsDigit(rune(rest[0])))
}

// Resolve finds a kernel by version: a cached one, else it downloads the newest
// package of that version. say is told what takes long; it may be nil.
func Resolve(ctx context.Context, version string, say func(string)) (*Image, error) {
	if err := CheckVersion(version); err != nil {
		return nil, err
	}
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("guests run on amd64 only, not on %s", runtime.GOARCH)
	}
	if i, err := Find(version); err != nil || i != nil {
		return i, err
	}
	if say == nil {
		say = func(string) {}
	}
	release, err := newestPackage(ctx, version)
	if err != nil {
		return nil, err
	}
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	sweep(dir)
	tmp, err := os.MkdirTemp(dir, ".fetch-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := fetch(ctx, release, tmp, say); err != nil {
		return nil, err
	}
	// Whoever comes first wins; the contents are the same.
	if err := os.Rename(filepath.Join(tmp, "image"), filepath.Join(dir, release)); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	i, err := Find(version)
	if err == nil && i == nil {
		err = fmt.Errorf("the package of Linux %s holds no kernel", release)
	}
	return i, err
}

// sweep removes what killed downloads left.
func sweep(dir string) {
	old, _ := filepath.Glob(filepath.Join(dir, ".fetch-*"))
	for _, d := range old {
		if st, err := os.Stat(d); err == nil && time.Since(st.ModTime()) > time.Hour {
			os.RemoveAll(d)
		}
	}
}
