"""Texts of `--help` besides the options: the overview, and a sentence and examples for each command."""

from __future__ import annotations

DESCRIPTION = """SimCLR: contrastive pre-training, fine-tuning and comparison of image encoders.

commands:
  pretrain   train an encoder without labels
  finetune   train a classifier on a pre-trained encoder, or the same network from scratch
  race       both at the same time, SimCLR and from scratch, on as many images
  sweep      many runs that answer one question: seeds, values of options, shares of the labels
  estimate   will it fit, and how long will it take: a few real steps of a run that is not started
  evaluate   repeat a run's test figures from its weights and compare
  transfer   encoders by data sets: kNN, linear probe and few labels, with intervals
  shift      accuracies on shifted test images: corrupted ones, and those of another place
  corrupt    a corrupted copy of a data set, as a folder
  embed      features of a split, and maps of them (PCA, UMAP, t-SNE)
  add-embeddings  embeddings of any other encoder, as a model beside the runs
  embeddings the embeddings that were added: listed, deleted
  film       maps of how a training moved the images, epoch by epoch
  disagree   groups of images that one of two encoders holds together and the other scatters
  pictures   photographs of an example's maps, from the folder of their data set
  lab        what encoders have learned to ignore: by operation and strength, and factor by factor
  predict    what a classifier says of images of one's own, as a table
  neighbors  images of a folder that an encoder holds for the nearest to others, as a table
  leaks      test images that are training images, or nearly: how many, which, and the accuracy without them
  export     an encoder for use elsewhere: safetensors or ONNX, with a model card, checked on real images
  bench      what things cost, as ratios measured side by side
  results    what a pre-training was worth: accuracies, and steps and seconds to them, beside from scratch
  report     one HTML file of what runs and groups say, to be handed on
  dashboard  serve the dashboard, of the runs in this folder
  runs       list the runs
  stop       stop a run; its last checkpoint is kept
  resume     resume a run that was stopped or failed, or train one longer that has come to its end

python -m simclr COMMAND --help says more; installed, simclr COMMAND is the same.
Exit status: 0 finished, 2 bad input, 75 stopped on request, else failed."""

EXAMPLES = {
    "pretrain": """examples:
  python -m simclr pretrain --config quick
  python -m simclr pretrain --config quick --epochs 5 --augmentation.hue 0.2
  python -m simclr pretrain --config cifar10 --dataset FOLDER --print_config
  python -m simclr pretrain --config quick --backend queue
  python -m simclr pretrain --config cifar10 --backend slurm --slurm.time_minutes 240""",
    "finetune": """examples:
  python -m simclr finetune --config quick-finetune --experiment_version 0
  python -m simclr finetune --experiment_version RUN --freeze_encoder true --label_fraction 0.01
  python -m simclr finetune --config quick-scratch --experiment_version RUN""",
    "race": """examples:
  python -m simclr race
  python -m simclr race --recipe quick --label_fraction 0.05 --device cpu""",
    "sweep": """examples:
  python -m simclr sweep temperature
  python -m simclr sweep FILE.yaml --dry_run
  python -m simclr sweep FILE.yaml --extend GROUP
  python -m simclr sweep FILE.yaml --backend slurm --slurm.time_minutes 240 --max_running 8
  python -m simclr sweep GROUP --stop
  python -m simclr sweep GROUP --resume
  python -m simclr sweep GROUP --test

a FILE.yaml:
  title: Which temperature?
  base: {recipe: quick, epochs: 10}
  axes: {temperature: [0.1, 0.2, 0.5]}
  seeds: [0, 1, 2]
  arms: [frozen, scratch]
  label_fractions: [0.01, 0.1]""",
    "estimate": """examples:
  python -m simclr estimate pretrain --config cifar10 --batch_size 1024
  python -m simclr estimate finetune --config quick-finetune --experiment_version 0 --json""",
    "evaluate": """examples:
  python -m simclr evaluate RUN
  python -m simclr evaluate RUN --protocol knn,linear,classifier --json
  python -m simclr evaluate RUN --dataset FOLDER --protocol knn,linear,fewshot
  python -m simclr evaluate untrained:RUN --dataset digits --protocol linear""",
    "transfer": """examples:
  python -m simclr transfer RUN untrained:RUN OTHER_RUN --dataset shapes digits FOLDER
  python -m simclr transfer RUN --dataset digits --protocol fewshot --figure 5-mean
  python -m simclr transfer RUN dino --dataset FOLDER
  python -m simclr transfer RUN OTHER_RUN --dataset digits --no_measure --format latex""",
    "shift": """examples:
  python -m simclr shift RUN
  python -m simclr shift RUN,OTHER_SEED untrained:RUN --corruption contrast --severity 1,2,3,4,5
  python -m simclr shift RUN ADAPTED_RUN --dataset shapes --corruption none --target FOLDER --format markdown""",
    "corrupt": """examples:
  python -m simclr corrupt shapes --corruption contrast --severity 5 --out shapes-contrast
  python -m simclr pretrain --config quick --dataset shapes-contrast --init_weights RUN""",
    "embed": """examples:
  python -m simclr embed RUN
  python -m simclr embed RUN OTHER_RUN --num_images 2000 --method umap
  python -m simclr embed RUN@epoch-10 RUN@best RUN@z --method pca,umap --dims 3
  python -m simclr embed RUN OTHER_RUN --dataset FOLDER
  python -m simclr embed RUN --dataset FOLDER --out features.parquet""",
    "add-embeddings": """examples:
  python -m simclr add-embeddings dino.parquet --images FOLDER --name dino
  python -m simclr add-embeddings clip.npy --images FOLDER --split test --name clip
  python -m simclr add-embeddings clip.npy --images FOLDER --paths order.txt --name clip
  python -m simclr embed RUN dino --method umap

A table (.parquet, .csv) has a column image, path or id, and the features as h_0, h_1, ... or as one column of lists.
An .npz file may hold the names of its images as an array image or path.
A .npy file has a row for each image in the order of --paths, else for each image of the folder sorted by path.""",
    "embeddings": """examples:
  python -m simclr embeddings
  python -m simclr embeddings --delete dino""",
    "predict": """examples:
  python -m simclr predict RUN photo.jpg
  python -m simclr predict RUN FOLDER --out predictions.csv""",
    "neighbors": """examples:
  python -m simclr neighbors RUN photo.jpg --among FOLDER
  python -m simclr neighbors RUN FOLDER --among FOLDER --k 20 --out neighbors.parquet""",
    "film": """examples:
  python -m simclr film RUN
  python -m simclr film RUN OTHER_RUN --method pca""",
    "disagree": """examples:
  python -m simclr disagree RUN OTHER_RUN
  python -m simclr disagree RUN OTHER_RUN --num_images 2000
  python -m simclr disagree RUN/embeddings/film OTHER_RUN/embeddings/film""",
    "pictures": """example:
  python -m simclr pictures 20261130-133845 ~/data/cifar10-jpeg""",
    "lab": """examples:
  python -m simclr lab RUN
  python -m simclr lab RUN OTHER_RUN untrained:RUN --what factors
  python -m simclr lab RUN@epoch-10 RUN --what profile""",
    "leaks": """examples:
  python -m simclr leaks RUN
  python -m simclr leaks RUN --dataset FOLDER --out pairs.csv
  python -m simclr leaks RUN --model pixels
  python -m simclr leaks RUN --planted --n 300 --seeds 0,1,2""",
    "export": """examples:
  python -m simclr export RUN
  python -m simclr export RUN --format safetensors,onnx --out my-encoder
  python -m simclr export RUN@best --format onnx --dataset FOLDER""",
    "bench": """examples:
  python -m simclr bench
  python -m simclr bench --only augmentation,loss --against lightly
  python -m simclr bench --plot costs.html --json costs.json
  python -m simclr bench --gpu""",
    "results": """examples:
  python -m simclr results
  python -m simclr results RUN --one_seed
  python -m simclr results GROUP GROUP --format latex
  python -m simclr results RUN --json""",
    "report": """examples:
  python -m simclr report RUN
  python -m simclr report GROUP RUN --out report.html
  python -m simclr report RUN dino
  python -m simclr report GROUP --no_images""",
    "dashboard": """examples:
  python -m simclr dashboard
  python -m simclr dashboard --runs_dir FOLDER --server.port 8502

Options with a point in their name are Streamlit's: streamlit run --help lists them.""",
    "runs": """examples:
  python -m simclr runs
  python -m simclr runs --filter "kind:pretrain knn>85 temperature<=0.2 -tag:old"
  python -m simclr runs --json""",
    "stop": """example:
  python -m simclr stop 20261122-1422""",
    "resume": """examples:
  python -m simclr resume 20261122-1422
  python -m simclr resume RUN --epochs 100
  python -m simclr resume RUN --dataset /new/place/of/the/images
  python -m simclr resume RUN --devices 1""",
}
SUMMARIES = {
    "pretrain": "Trains an encoder without labels (SimCLR, Chen et al. 2020).",
    "finetune": "Trains a classifier on a pre-trained encoder, frozen or free, or the same network from scratch.",
    "race": "Trains SimCLR and the same network from scratch at the same time, on as many images: the page Race.",
    "sweep": "Queues the runs of a sweep file as one group, or submits them to Slurm, and stops or resumes them.",
    "estimate": "Says whether a run fits into memory and how long it takes, by a few real steps; status 1: no fit.",
    "evaluate": "Measures a finished run on the test images, from its weights alone, and compares with what is stored.",
    "transfer": "Judges encoders on several data sets, measures what is lacking, and prints the matrix.",
    "shift": "Judges encoders on shifted test images, with a head from the source: corruptions, and other places.",
    "corrupt": "Writes a corrupted copy of a data set as a folder, after Hendrycks and Dietterich 2019.",
    "embed": "Computes features of a split, and maps of them, for one run or several on the same images.",
    "add-embeddings": "Adds embeddings that any encoder made of images, to be compared with those of runs.",
    "embeddings": "Lists the embeddings of other encoders that were added, or deletes some.",
    "predict": "Says which class images of one's own belong to, by a fine-tuned run or one from scratch.",
    "neighbors": "Finds the nearest images of a folder to each of some images, by cosine similarity of h, exactly.",
    "film": "Draws the maps of a run's training film, one for each epoch kept, so that they belong together.",
    "disagree": "Finds groups of images on which two encoders disagree, and says what their images share.",
    "pictures": "Reads the photographs of maps that came with an example from the folder of their data set.",
    "leaks": "Finds test images that are training images, or nearly, by a run's features and by their pixels.",
    "export": "Writes an encoder for use elsewhere, with a model card; refused where it does not come out right.",
    "lab": "Measures what encoders have learned to ignore: similarity after each operation, factors of shapes.",
    "bench": "Measures augmentation, loss, training step, memory, probe, reading and the table of runs.",
    "results": "Says what a pre-training was worth beside from scratch, over its seeds: accuracy, steps and seconds.",
    "report": "Writes what runs and groups say as one HTML file that needs neither server nor network.",
    "dashboard": "Serves the dashboard on http://localhost:8501 until it is interrupted.",
    "runs": "Lists the runs, or those that pass a filter, newest first.",
    "stop": "Stops a run: it saves a checkpoint and ends; after 60 s it is killed.",
    "resume": "Resumes a run from its last checkpoint, in the same folder; without one it begins again there. "
    "With --epochs, one that has come to its end is trained longer.",
}
