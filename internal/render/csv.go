package render

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"regexp"
)

// formula matches the start of a cell that a spreadsheet would execute as a formula. Some spreadsheets also split quoted cells at semicolons, so a
// formula can start after each semicolon.
var formula = regexp.MustCompile(`(^|;)(\s*)([=+\-@\t\r＝＋－＠])`)

// escapeFormula puts an apostrophe before the start of a formula, so that a spreadsheet shows the text and does not execute it.
func escapeFormula(s string) string { return formula.ReplaceAllString(s, "$1$2'$3") }

// writeCSV writes a table (RFC 4180) with a header row. It escapes formulas in all other rows.
func writeCSV(head []string, rows [][]string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	if err := w.Write(head); err != nil {
		return nil, fmt.Errorf("write the header row of a table: %w", err)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = escapeFormula(row[i])
		}
		if err := w.Write(row); err != nil {
			return nil, fmt.Errorf("write a row of a table: %w", err)
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}
