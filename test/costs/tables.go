package costs

import (
	"fmt"
	"strings"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// costTable returns the costs of a month by item. idle is the use without requests to the API.
func costTable(p prices, accounts []account, uses, idle []use) string {
	header := []string{"images and repositories"}
	for _, item := range items() {
		header = append(header, item.name)
	}
	header = append(header, "total", "of the total: requests to the API", "with the free tier")
	if accounts[0].kind == ecr.Enhanced {
		header = append(header, "in addition: Inspector, one scan a day")
	}
	rows := [][]string{header}
	for i, a := range accounts {
		row := []string{a.String()}
		var list, free, requests float64
		for _, item := range items() {
			l, f := p.cost(uses[i], item.prices...)
			withoutRequests, _ := p.cost(idle[i], item.prices...)
			row, list, free, requests = append(row, usd(l)), list+l, free+f, requests+l-withoutRequests
		}
		row = append(row, "**"+usd(list)+"**", usd(requests), usd(free))
		if a.kind == ecr.Enhanced {
			row = append(row, thousands(float64(a.images)*monthDays*p[rescans].usd))
		}
		rows = append(rows, row)
	}
	return markdown(rows)
}

// useTable returns the calls and GB-seconds of a day and of a month.
func useTable(accounts []account, uses []use, assumed assumptions) string {
	rows := [][]string{{"images and repositories", "visits", "requests", "calls to ECR", "S3 GET", "S3 PUT and LIST", "SQS", "GB-s", "logs, MB", "stored, MB"}}
	for i, a := range accounts {
		u, repositories := uses[i], float64(a.repositories)
		calls := a.visits.times(repositories).plus(a.feed.times(repositories * assumed[feedCount])).plus(a.summary.times(assumed[summaryCount])).ecr
		row := []string{a.String()}
		for _, n := range []float64{perDay * repositories * monthDays, u[apiRequests], calls * monthDays, u[s3Gets], u[s3Puts], u[sqsRequests], u[gbSeconds], u[logs] * 1000} {
			row = append(row, thousands(n/monthDays)+" / "+thousands(n))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.1f", u[s3Storage]*1000)))
	}
	return markdown(rows)
}

// simulationTable returns what the simulations found.
func simulationTable(found simulations) string {
	rows := [][]string{{"what", "calls to ECR", "S3 GET", "S3 PUT", "S3 LIST", "waiting, s", "bytes written", "bytes logged"}}
	row := func(name string, u usage) {
		cells := []string{name}
		for _, n := range []float64{u.ecr, u.gets, u.puts, u.lists} {
			cells = append(cells, thousands(n))
		}
		rows = append(rows, append(cells, fmt.Sprintf("%.2f", u.waiting/1000), thousands(u.written), thousands(u.logged)))
	}
	for _, repositories := range []int{10, 100, 1000} {
		row(fmt.Sprintf("a day: 48 schedules of %s repositories", thousands(float64(repositories))), found.many[repositories].schedule)
	}
	for _, kind := range kinds() {
		for _, images := range []int{1, 10, 100} {
			row(fmt.Sprintf("a day: 48 visits of a repository with %d images, %s scanning", images, strings.ToLower(string(kind))), found.days[dayOf{kind, images}].visits)
		}
	}
	for _, images := range []int{1, 10, 100} {
		row(fmt.Sprintf("a request for the feed of a repository with %d images", images), found.days[dayOf{ecr.Basic, images}].feed)
	}
	for _, repositories := range []int{10, 100, 1000} {
		row(fmt.Sprintf("a request for the summary page of %s repositories", thousands(float64(repositories))), found.many[repositories].summary)
	}
	return markdown(rows)
}

func usd(n float64) string { return fmt.Sprintf("%.2f", n) }

// thousands formats a number without decimals, with commas.
func thousands(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func markdown(rows [][]string) string {
	var text strings.Builder
	for i, row := range rows {
		text.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			text.WriteString("|" + strings.Repeat(" --- |", len(row)) + "\n")
		}
	}
	return text.String()
}
