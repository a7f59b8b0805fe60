package mitm

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadSecret(t *testing.T) {
	t.Setenv("MITM_TEST_SECRET", "from the environment")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("of a file: \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for v, want := range map[string]string{
		"":                     "",
		"itself":               "itself",
		"a:b":                  "a:b",
		"env:MITM_TEST_SECRET": "from the environment",
		"file:" + file:         "of a file: ",
	} {
		if got, err := ReadSecret(v); err != nil || got != want {
			t.Errorf("ReadSecret(%q) = %q, %v; want %q", v, got, err, want)
		}
	}
	for _, v := range []string{"env:MITM_TEST_UNSET", "file:" + file + ".missing"} {
		if got, err := ReadSecret(v); err == nil {
			t.Errorf("ReadSecret(%q) = %q, want an error", v, got)
		}
	}
}

func TestSplitFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"ca.p12", "ca.p12:old", "a:b.pem"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("folder", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, v, file, pass string }{
		{"a file", "ca.p12", "ca.p12", ""},
		{"a file and a password", "ca.p12:geheim", "ca.p12", "geheim"},
		{"a password with colons", "ca.p12:a:b:c", "ca.p12", "a:b:c"},
		{"a password elsewhere", "ca.p12:env:NAME", "ca.p12", "env:NAME"},
		{"an empty password", "ca.p12:", "ca.p12", ""},
		{"a file that has the longer name", "ca.p12:old", "ca.p12:old", ""},
		{"that file and a password", "ca.p12:old:geheim", "ca.p12:old", "geheim"},
		{"a file with a colon and a password", "a:b.pem:geheim", "a:b.pem", "geheim"},
		{"a path", dir + "/ca.p12:x", dir + "/ca.p12", "x"},
		{"a file that is missing", "no.p12:a:b", "no.p12", "a:b"},
		{"a folder is no file", "folder:ca.p12", "folder", "ca.p12"},
		{"a drive", `C:\ca.p12:geheim`, `C:\ca.p12`, "geheim"},
		{"a drive without a password", `C:/ca.p12`, `C:/ca.p12`, ""},
		{"nothing", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if file, pass := SplitFile(tt.v); file != tt.file || pass != tt.pass {
				t.Errorf("SplitFile(%q) = %q, %q; want %q, %q", tt.v, file, pass, tt.file, tt.pass)
			}
		})
	}
}
