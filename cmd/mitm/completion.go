package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completeFlags tells shells what the values of a command's options are: words where the help
// says them, directories and files where it asks for one, and nothing else.
func completeFlags(cmd *cobra.Command) error {
	var err error
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.NoOptDefVal != "" || err != nil {
			return // it needs no value
		}
		kind, _ := pflag.UnquoteUsage(f)
		words, directive := completions(kind)
		err = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, directive))
	})
	for _, sub := range cmd.Commands() {
		if err == nil {
			err = completeFlags(sub)
		}
	}
	return err
}

// completions reads the help's word for a value: "mirror|go" are words, "reject|terminate:FILE"
// is one and the beginning of another.
func completions(kind string) ([]string, cobra.ShellCompDirective) {
	var words []string
	for part := range strings.SplitSeq(kind, "|") {
		word, argument, isCut := strings.Cut(part, ":")
		if word == "" || word != strings.ToLower(word) {
			continue
		}
		if isCut && argument != "" {
			word += ":"
		}
		words = append(words, word)
	}
	switch {
	case len(words) > 0 && strings.Contains(kind, "|"):
		return words, cobra.ShellCompDirectiveNoFileComp
	case strings.Contains(kind, "DIR"):
		return nil, cobra.ShellCompDirectiveFilterDirs
	case strings.Contains(kind, "FILE"):
		return nil, cobra.ShellCompDirectiveDefault
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}
