"""Pictures for training and evaluation: MATLAB's resize, folders of images, pools of crops."""
