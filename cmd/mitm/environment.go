package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// fromEnvironment sets the options of a command that are not on its command line from
// variables: --log-level from MITM_LOG_LEVEL. Where an option may be given several times,
// each line is a value. An empty variable is none.
func fromEnvironment(cmd *cobra.Command, _ []string) (err error) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		variable := "MITM_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		text := os.Getenv(variable)
		if text == "" || f.Changed || err != nil || f.Name == "help" {
			return
		}
		values := []string{text}
		if isRepeatable(f) {
			values = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		}
		for _, value := range values {
			if setErr := cmd.Flags().Set(f.Name, value); setErr != nil && err == nil {
				err = usage("%s: %w", variable, flagCause(setErr))
			}
		}
	})
	return err
}

// flagCause is what is wrong with a value, without the words of pflag around it: they say the
// name of a flag that nobody has used, and may repeat a secret.
func flagCause(err error) error {
	if invalid, ok := err.(*pflag.InvalidValueError); ok {
		return invalid.Unwrap()
	}
	return err
}

// isRepeatable reports whether each value adds to those before it. Which of our own options do
// is in their help.
func isRepeatable(f *pflag.Flag) bool {
	_, isSlice := f.Value.(pflag.SliceValue)
	return isSlice || strings.Contains(f.Usage, "repeatable")
}
