package main

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// fromEnvironment sets the options of a command that are not on its command line from
// variables: --log-level from MITM_LOG_LEVEL. Where an option may be given several times,
// each line is a value. An empty variable is none.
func fromEnvironment(cmd *cobra.Command, _ []string) (err error) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		text := os.Getenv(variable(f))
		if text == "" || f.Changed || err != nil || f.Name == "help" {
			return
		}
		values := []string{text}
		if isRepeatable(f) {
			values = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		}
		for _, value := range values {
			if setErr := cmd.Flags().Set(f.Name, value); setErr != nil && err == nil {
				err = usage("%s: %w", variable(f), flagCause(f, setErr))
			}
		}
	})
	return err
}

// flagCause is what is wrong with a value, without the words of pflag around it: they say the
// name of a flag that nobody has used, and may repeat a secret.
func flagCause(f *pflag.Flag, err error) error {
	if f.Value.Type() == "bool" {
		return errors.New("want true or false")
	}
	if invalid, ok := err.(*pflag.InvalidValueError); ok {
		return invalid.Unwrap()
	}
	return err
}

// misnamed returns the variables that look like options and are none, of no command.
func misnamed(root *cobra.Command, environ []string) []string {
	known := map[string]bool{}
	var learn func(*cobra.Command)
	learn = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known[variable(f)] = true })
		for _, sub := range cmd.Commands() {
			learn(sub)
		}
	}
	learn(root)
	var list []string
	for _, pair := range environ {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, prefix) && !known[name] {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// prefix is how the variables' names begin.
const prefix = "MITM_"

func variable(f *pflag.Flag) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// isRepeatable reports whether each value adds to those before it. Which of our own options do
// is in their help.
func isRepeatable(f *pflag.Flag) bool {
	_, isSlice := f.Value.(pflag.SliceValue)
	return isSlice || strings.Contains(f.Usage, "repeatable")
}
