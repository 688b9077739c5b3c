package config

import "slices"

// Files are one or several files. In TOML one file is written as a string, and several as a
// list.
type Files []string

const fileForms = `write "file", or ["file", ...]`

// UnmarshalTOML reads both forms.
func (f *Files) UnmarshalTOML(value any) error {
	*f = nil
	list, several := value.([]any)
	if !several {
		list = []any{value}
	}
	for _, value := range list {
		file, ok := value.(string)
		switch {
		case !ok:
			return problem{"the value is neither a string nor a list of strings", fileForms}
		case file == "" && several:
			return problem{"the name of a file is empty", "remove it"}
		case file != "":
			*f = append(*f, file)
		}
	}
	return nil
}

// checkPairs checks that there is one key for each certificate.
func checkPairs(errs *Errors, certificates, keys Files) {
	switch {
	case len(certificates) == 0:
		errs.Add("the key is missing", "name the PEM file with the certificate chain of this server", "tls", "certificate")
	case len(keys) != 0 && len(keys) != len(certificates):
		errs.Add("the numbers of certificates and of keys differ", "list one key for each certificate, in the same order; a file can be both", "tls", "key")
	}
	if len(keys) == 0 {
		errs.Add("the key is missing", "name the PEM file with the private key of the certificate", "tls", "key")
	}
	for i, file := range certificates {
		if slices.Contains(certificates[:i], file) {
			errs.Add("a file is listed twice", "remove one", "tls", "certificate")
		}
	}
}
