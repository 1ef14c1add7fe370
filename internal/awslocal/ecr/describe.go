package ecr

import (
	"cmp"
	"slices"

	"ecr-continuous-scan/internal/awslocal"
)

type repositoryJSON struct {
	ARN              string            `json:"repositoryArn"`
	RegistryID       string            `json:"registryId"`
	Name             string            `json:"repositoryName"`
	URI              string            `json:"repositoryUri"`
	CreatedAt        Time              `json:"createdAt,omitzero"`
	Mutability       string            `json:"imageTagMutability"`
	ScanningConfig   map[string]bool   `json:"imageScanningConfiguration"`
	EncryptionConfig map[string]string `json:"encryptionConfiguration"`
}

type imageDetail struct {
	RegistryID        string   `json:"registryId"`
	RepositoryName    string   `json:"repositoryName"`
	Digest            string   `json:"imageDigest"`
	Tags              []string `json:"imageTags,omitempty"`
	Size              int64    `json:"imageSizeInBytes"`
	PushedAt          Time     `json:"imagePushedAt"`
	MediaType         string   `json:"imageManifestMediaType,omitempty"`
	ArtifactMediaType string   `json:"artifactMediaType,omitempty"`
	Subject           string   `json:"subjectManifestDigest,omitempty"`
	Status            string   `json:"imageStatus"`
}

// open returns the repository that a call is about.
func (e *ECR) open(call awslocal.Call, q *request) (*repository, error) {
	if q.RepositoryName == nil {
		return nil, invalidParameter("repositoryName", "must not be null")
	}
	id := RepositoryID{call.Region, call.Registry, call.Resource}
	r, ok := e.repositories[id]
	if !ok {
		return nil, noRepository(id)
	}
	return r, nil
}

func (e *ECR) describeRepositories(call awslocal.Call, q *request) (any, error) {
	var ids []RepositoryID
	var next string
	var err error
	if q.RepositoryNames != nil {
		ids, err = e.namedRepositories(call, q)
	} else {
		ids, next, err = e.pageOfRepositories(call, q)
	}
	if err != nil {
		return nil, err
	}
	answer := struct {
		Repositories []repositoryJSON `json:"repositories"`
		NextToken    string           `json:"nextToken,omitempty"`
	}{make([]repositoryJSON, len(ids)), next}
	for i, id := range ids {
		info := e.repositories[id].info
		answer.Repositories[i] = repositoryJSON{
			ARN: id.arn(), RegistryID: id.Registry, Name: id.Name, URI: id.uri(),
			CreatedAt: Time{info.CreatedAt}, Mutability: "MUTABLE",
			ScanningConfig:   map[string]bool{"scanOnPush": info.ScanOnPush},
			EncryptionConfig: map[string]string{"encryptionType": "AES256"},
		}
	}
	return answer, nil
}

func (e *ECR) namedRepositories(call awslocal.Call, q *request) ([]RepositoryID, error) {
	if err := q.noPaging("repositoryNames"); err != nil {
		return nil, err
	}
	if err := checkCount("repositoryNames", len(q.RepositoryNames)); err != nil {
		return nil, err
	}
	ids := make([]RepositoryID, len(q.RepositoryNames))
	for i, name := range q.RepositoryNames {
		if err := checkRepositoryName("repositoryNames", name); err != nil {
			return nil, err
		}
		ids[i] = RepositoryID{call.Region, call.Registry, name}
		if e.repositories[ids[i]] == nil {
			return nil, noRepository(ids[i])
		}
	}
	return ids, nil
}

func (e *ECR) pageOfRepositories(call awslocal.Call, q *request) (ids []RepositoryID, next string, err error) {
	at, err := q.start(call, position{})
	if err != nil {
		return nil, "", err
	}
	for id := range e.repositories {
		if id.registry() == (registryID{call.Region, call.Registry}) && id.Name > at.Text {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b RepositoryID) int { return cmp.Compare(a.Name, b.Name) })
	if size := q.pageSize(); len(ids) > size {
		ids = ids[:size]
		at.Text = ids[size-1].Name
		next = at.token()
	}
	return ids, next, nil
}

// noPaging refuses what ECR's reference says cannot be combined.
func (q *request) noPaging(with string) error {
	if q.MaxResults != nil || q.NextToken != "" {
		return invalidParameter(with, "cannot be used with maxResults or nextToken")
	}
	return nil
}

func (e *ECR) listImages(call awslocal.Call, q *request) (any, error) {
	r, err := e.open(call, q)
	if err != nil {
		return nil, err
	}
	at, err := q.start(call, position{Seq: -1})
	if err != nil {
		return nil, err
	}
	ids, next := r.pageOfIDs(at, q)
	return struct {
		ImageIDs  []imageID `json:"imageIds"`
		NextToken string    `json:"nextToken,omitempty"`
	}{ids, next}, nil
}

// pageOfIDs lists one id per tag, and one for an image without tags. The page
// starts behind tag at.Text of image at.Seq; no text means behind that image.
func (r *repository) pageOfIDs(at position, q *request) (ids []imageID, next string) {
	size := q.pageSize()
	ids = make([]imageID, 0, min(size, len(r.byTag)+len(r.order)))
	from := at.Seq
	if at.Text != "" {
		from--
	}
	for _, img := range r.order[r.after(from):] {
		if !q.Filter.matches(img) {
			continue
		}
		tags := img.def.Tags
		if img.seq == at.Seq {
			i, found := slices.BinarySearch(tags, at.Text)
			if found {
				i++
			}
			if tags = tags[i:]; len(tags) == 0 {
				continue
			}
		}
		if len(tags) == 0 {
			tags = []string{""}
		}
		for _, tag := range tags {
			if len(ids) == size {
				return ids, at.token()
			}
			ids = append(ids, imageID{img.def.Digest, tag})
			at.Seq, at.Text = img.seq, tag
		}
	}
	return ids, ""
}

func (e *ECR) describeImages(call awslocal.Call, q *request) (any, error) {
	r, err := e.open(call, q)
	if err != nil {
		return nil, err
	}
	var images []*image
	var next string
	if q.ImageIDs != nil {
		images, err = r.namedImages(q)
	} else {
		images, next, err = r.pageOfImages(call, q)
	}
	if err != nil {
		return nil, err
	}
	answer := struct {
		Details   []imageDetail `json:"imageDetails"`
		NextToken string        `json:"nextToken,omitempty"`
	}{make([]imageDetail, len(images)), next}
	for i, img := range images {
		answer.Details[i] = r.detail(img)
	}
	return answer, nil
}

// namedImages fails as a whole for one image that does not exist. Ids of one
// image are answered once.
func (r *repository) namedImages(q *request) ([]*image, error) {
	if err := q.noPaging("imageIds"); err != nil {
		return nil, err
	}
	if err := checkCount("imageIds", len(q.ImageIDs)); err != nil {
		return nil, err
	}
	var images []*image
	for _, id := range q.ImageIDs {
		if err := id.check("imageIds"); err != nil {
			return nil, err
		}
		img, ok := r.find(id)
		if !ok {
			return nil, noImage(r.id, id)
		}
		if !slices.Contains(images, img) {
			images = append(images, img)
		}
	}
	return images, nil
}

func (r *repository) pageOfImages(call awslocal.Call, q *request) (images []*image, next string, err error) {
	at, err := q.start(call, position{Seq: -1})
	if err != nil {
		return nil, "", err
	}
	size := q.pageSize()
	for _, img := range r.order[r.after(at.Seq):] {
		if !q.Filter.matches(img) {
			continue
		}
		if len(images) == size {
			return images, at.token(), nil
		}
		images = append(images, img)
		at.Seq = img.seq
	}
	return images, "", nil
}

func (r *repository) detail(img *image) imageDetail {
	return imageDetail{
		RegistryID: r.id.Registry, RepositoryName: r.id.Name,
		Digest: img.def.Digest, Tags: img.def.Tags, Size: img.def.Size, PushedAt: Time{img.def.PushedAt},
		MediaType: img.def.MediaType, ArtifactMediaType: img.def.ArtifactMediaType,
		Subject: img.def.Subject, Status: img.def.Status,
	}
}

type imageJSON struct {
	RegistryID     string  `json:"registryId"`
	RepositoryName string  `json:"repositoryName"`
	ImageID        imageID `json:"imageId"`
	Manifest       string  `json:"imageManifest"`
	MediaType      string  `json:"imageManifestMediaType"`
}

type imageFailure struct {
	ImageID imageID `json:"imageId"`
	Code    string  `json:"failureCode"`
	Reason  string  `json:"failureReason"`
}

func (e *ECR) batchGetImage(call awslocal.Call, q *request) (any, error) {
	r, err := e.open(call, q)
	if err != nil {
		return nil, err
	}
	if err := checkCount("imageIds", len(q.ImageIDs)); err != nil {
		return nil, err
	}
	answer := struct {
		Images   []imageJSON    `json:"images"`
		Failures []imageFailure `json:"failures"`
	}{[]imageJSON{}, []imageFailure{}}
	for _, id := range q.ImageIDs {
		img, failure := r.get(id, q.AcceptedMediaTypes)
		if failure != nil {
			answer.Failures = append(answer.Failures, *failure)
			continue
		}
		answer.Images = append(answer.Images, imageJSON{
			r.id.Registry, r.id.Name, imageID{img.def.Digest, id.Tag}, img.def.manifest(), img.def.MediaType,
		})
	}
	return answer, nil
}

func (r *repository) get(id imageID, accepted []string) (*image, *imageFailure) {
	fail := func(code, reason string) (*image, *imageFailure) { return nil, &imageFailure{id, code, reason} }
	switch {
	case id.Digest == "" && id.Tag == "":
		return fail("MissingDigestAndTag", "Both image digest and image tag are missing")
	case id.Digest != "" && !formats.digest.MatchString(id.Digest):
		return fail("InvalidImageDigest", "Invalid image digest")
	case len(id.Tag) > 300:
		return fail("InvalidImageTag", "Invalid image tag")
	}
	img, ok := r.find(id)
	switch {
	case !ok && r.byDigest[id.Digest] != nil && r.byTag[id.Tag] != nil:
		return fail("ImageTagDoesNotMatchDigest", "Image tag does not match digest")
	case !ok, len(accepted) > 0 && !slices.Contains(accepted, img.def.MediaType):
		return fail("ImageNotFound", "Requested image not found")
	case img.def.Status != Active:
		return fail("ImageInaccessible", "Requested image is archived")
	}
	return img, nil
}
