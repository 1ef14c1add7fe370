package costs

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// kinds are the kinds of scanning.
func kinds() []ecr.ScanType { return []ecr.ScanType{ecr.Basic, ecr.Enhanced} }

// dayOf names the simulation of a repository with so many images.
type dayOf struct {
	kind   ecr.ScanType
	images int
}

// simulations are what all simulations found: days of one repository, and many repositories by their number.
type simulations struct {
	days map[dayOf]account
	many map[int]account
}

// account returns what the simulations found for an account.
func (s simulations) account(z size, kind ecr.ScanType) account {
	day, many := s.days[dayOf{kind, z.perRepository()}], s.many[z.repositories]
	return account{size: z, kind: kind, schedule: many.schedule, visits: day.visits, feed: day.feed, summary: many.summary, stored: day.stored}
}

// findingsOfImage is the number of findings of each image on the first day.
const findingsOfImage = 20

// newImage returns an image with findings of both kinds of scanning.
func newImage(newFindings int) ecr.Image {
	image := ecr.Image{Enhanced: []ecr.EnhancedFinding{}}
	for i := range findingsOfImage + newFindings {
		severity, name, text := []string{"HIGH", "MEDIUM", "LOW"}[i%3], fmt.Sprintf("CVE-2026-%d", 1000+i), description(i)
		uri, library := "https://security.example.org/tracker/"+name, fmt.Sprintf("lib%d", i)
		image.Findings = append(image.Findings, ecr.Finding{
			Name: name, Severity: severity, URI: uri, Description: text,
			Attributes: []ecr.Attribute{{Key: "package_name", Value: library}, {Key: "package_version", Value: "1.2." + fmt.Sprint(i)}},
		})
		image.Enhanced = append(image.Enhanced, ecr.EnhancedFinding{
			ARN: fmt.Sprintf("arn:aws:inspector2:us-west-2:123456789012:finding/%032x", i), Severity: severity, Status: "ACTIVE", Description: text,
			Title: name + " - " + library, Type: "PACKAGE_VULNERABILITY", Score: 7.5, FixAvailable: "YES", ExploitAvailable: "NO",
			PackageDetails: &ecr.PackageVulnerability{
				VulnerabilityID: name, Source: "NVD", SourceURL: uri, ReferenceURLs: []string{uri + "/a", uri + "/b"},
				VulnerablePackages: []ecr.VulnerablePackage{{Name: library, Version: "1.2." + fmt.Sprint(i), PackageManager: "OS"}},
			},
		})
	}
	return image
}

// description returns a text that is about as long as those of real findings, and is not equal to others: equal ones need almost no space.
func description(i int) string {
	words := strings.Fields("a missing check of the length lets remote attacker read memory when parser decodes nested header before certificate is valid and server overflows buffer")
	hash, text := fnv.New32a(), make([]string, 35)
	for n := range text {
		_, _ = fmt.Fprint(hash, i, n) // a hash returns no error
		text[n] = words[int(hash.Sum32()>>8)%len(words)]
	}
	return strings.Join(text, " ")
}

// simulateDays returns what the visits of one repository use in a day, after those that record the images, and what a request
// for its feed uses.
func simulateDays(ctx context.Context, of dayOf, days int) (account, error) {
	s, err := newSimulation(ctx, of.kind, 1, of.images)
	if err != nil {
		return account{}, err
	}
	a := account{kind: of.kind}
	before := int(perDay)
	if of.kind == ecr.Enhanced {
		before = 2 // the first visit stores what it reads
	}
	if _, err := s.visits(ctx, before); err != nil {
		return account{}, err
	}
	for day := range days {
		if err := s.addFindings(day); err != nil {
			return account{}, err
		}
		visits, err := s.visits(ctx, int(perDay))
		if err != nil {
			return account{}, err
		}
		a.visits = a.visits.plus(visits)
	}
	a.visits, a.stored = a.visits.times(1/float64(days)), float64(s.bucket.stored())
	a.feed, err = s.get(ctx, "/findings/"+s.configs[0].ID)
	return a, err
}

// addFindings adds a finding to each tenth image of the first repository, on each of ten days to other images.
func (s *simulation) addFindings(day int) error {
	changed := newImage(1)
	for i := day; i < s.images; i += 10 {
		id := ecr.RepositoryID{Name: s.configs[0].Repository}.WithDefaults()
		err := s.ecr.UpdateImage(id, tag(i), func(image *ecr.Image) { image.Findings, image.Enhanced = changed.Findings, changed.Enhanced })
		if err != nil {
			return err
		}
	}
	return nil
}

// visits runs schedules and their visits, and returns what the visits used.
func (s *simulation) visits(ctx context.Context, schedules int) (sum usage, err error) {
	for range schedules {
		began := time.Now()
		messages, _, err := s.schedule(ctx)
		if err != nil {
			return usage{}, err
		}
		visits, err := s.visit(ctx, messages)
		if err != nil {
			return usage{}, err
		}
		sum = sum.plus(visits)
		time.Sleep(time.Until(began.Add(interval)))
	}
	return sum, nil
}

// simulateMany returns what the schedules of many repositories use in a day, and what a request for the summary page of all uses.
func simulateMany(ctx context.Context, repositories int) (account, error) {
	s, err := newSimulation(ctx, ecr.Basic, repositories, 1)
	if err != nil {
		return account{}, err
	}
	messages, _, err := s.schedule(ctx)
	if err == nil {
		_, err = s.visit(ctx, messages)
	}
	if err != nil {
		return account{}, err
	}
	time.Sleep(interval) // so the request lists the tags in ECR
	summary, err := s.get(ctx, "/summary?format=html")
	if err != nil {
		return account{}, err
	}
	_, schedule, err := s.schedule(ctx)
	return account{schedule: schedule.times(perDay), summary: summary}, err
}
